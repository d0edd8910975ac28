"""The collector of garbage leaves alone what was loaded, and goes on with what comes later."""

from pathlib import Path

import pytest

from tests.support.processes.sqlite_processes import finished, make_counter, start

pytestmark = pytest.mark.pure

LOOK = """
import gc, weakref
from integration_hub.wsgi import application
print(gc.get_freeze_count() > 50_000)
class Node:
    def __init__(self):
        self.itself = self
made = [weakref.ref(Node()) for _ in range(50_000)]
print(sum(each() is not None for each in made) < 25_000)
"""


def test_a_web_process_keeps_what_it_loaded_and_still_collects_what_comes_later(
    tmp_path: Path,
) -> None:
    assert finished(start(make_counter(tmp_path), LOOK)).split() == ["True", "True"]
