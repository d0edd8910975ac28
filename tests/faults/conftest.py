"""What every fault test needs: the kind of database, the two stand-in services, a mark on each test that starts workers."""

import os
from collections.abc import Iterator

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.fleet.hub_fleet import Services
from tests.support.hub import SIGNING_SECRET
from tests.support.processes import workers


@pytest.fixture(scope="session")
def is_postgresql() -> bool:
    return os.environ.get("HUB_TEST_DATABASE", "sqlite") == "postgresql"


@pytest.fixture(scope="session")
def is_celery() -> bool:
    """Celery carries what is left to workers: see `tests.support.environment`."""
    return workers.is_celery(os.environ)


@pytest.fixture(scope="session")
def is_long() -> bool:
    """HUB_FAULTS=long: the nightly sizes."""
    return os.environ.get("HUB_FAULTS") == "long"


@pytest.fixture
def services() -> Iterator[Services]:
    """Both stand-in services, without a fault."""
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        yield identity, shop


@pytest.fixture(autouse=True)
def _workers_are_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that starts workers without the mark by which `make faults` runs it with every engine."""
    before = len(workers.COMMANDS)
    yield
    is_marked = request.node.get_closest_marker("worker_processes") is not None
    assert is_marked or len(workers.COMMANDS) == before, "mark it with pytest.mark.worker_processes"
