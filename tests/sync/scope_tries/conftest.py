"""Two systems with lists."""

from collections.abc import Iterator

import pytest

from tests.support.builders.compared_systems import ComparedSystems, compared_systems
from tests.support.hub import Hub


@pytest.fixture
def systems(hub: Hub) -> Iterator[ComparedSystems]:
    """Both systems of the hub's people, with lists, and without any item."""
    with compared_systems() as both:
        yield both
