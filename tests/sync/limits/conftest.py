from collections.abc import Iterator

import pytest

from tests.support.circuit_breakers import cautious_breakers
from tests.support.hub import Hub


@pytest.fixture
def cautious(hub: Hub) -> Iterator[Hub]:
    """Let all breakers of the hub open after three failures."""
    with cautious_breakers():
        yield hub
