"""An identity service with a list of what changed."""

from collections.abc import Iterator

import pytest

from tests.support.builders.changing_people import ChangingPeople, changing_people, start_catch_up
from tests.support.hub import Hub


@pytest.fixture
def people(hub: Hub) -> Iterator[ChangingPeople]:
    """The people of the hub's identity service; an hour ago the hub began to catch up with them."""
    with changing_people() as service:
        start_catch_up()
        yield service
