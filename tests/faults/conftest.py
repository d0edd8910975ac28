"""Every fault test: the kind of database, the two stand-in services, the check of the `worker_processes` mark, and how
the tests are distributed over processes.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.fleet.hub_fleet import Services
from tests.support.hub import SIGNING_SECRET
from tests.support.processes import workers


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return the scheduler of `make faults`; None, for that of xdist, unless --dist is `loadgroup`."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from tests.faults.load.groups import GroupScheduling

    return GroupScheduling(config, log)


@pytest.fixture(scope="session")
def is_postgresql() -> bool:
    return os.environ.get("HUB_TEST_DATABASE", "sqlite") == "postgresql"


@pytest.fixture(scope="session")
def is_celery() -> bool:
    """Return True if Celery runs the work for workers: see `tests.support.environment`."""
    return workers.is_celery(os.environ)


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Return True for the larger sizes of the nightly run (HUB_FAULTS=long)."""
    return os.environ.get("HUB_FAULTS") == "long"


@pytest.fixture
def services() -> Iterator[Services]:
    """Yield both stand-in services, without a fault."""
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        yield identity, shop


@pytest.fixture(autouse=True)
def _workers_are_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that starts workers without the mark by which `make faults` runs it with every engine."""
    before = len(workers.COMMANDS)
    yield
    is_marked = request.node.get_closest_marker("worker_processes") is not None
    assert is_marked or len(workers.COMMANDS) == before, "mark it with pytest.mark.worker_processes"
