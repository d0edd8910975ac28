"""The benchmark starts the commands that docs/operations.md documents."""

import pytest

from tests.bench.machinery.servers import documented_command, documented_variables, web_command

pytestmark = pytest.mark.pure


def test_the_web_processes_are_two_as_documented_on_a_port_of_the_benchmark() -> None:
    words = web_command().split()
    assert words[:2] == ["gunicorn", "integration_hub.wsgi"]
    assert words[words.index("--workers") + 1] == "2"
    assert words[words.index("--bind") + 1] == "127.0.0.1:${HUB_PORT}"
    assert words[words.index("--threads") + 1] == "32"


def test_an_undocumented_command_is_an_error() -> None:
    with pytest.raises(AssertionError, match="no command uwsgi"):
        documented_command("uwsgi ")


def test_the_processes_get_the_documented_variables() -> None:
    assert documented_variables() == {"MALLOC_ARENA_MAX": "2"}
