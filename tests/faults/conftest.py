"""Every fault test: the two stand-in services, and how the tests are distributed over processes."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.fleet.hub_fleet import Services
from tests.support.hub import SIGNING_SECRET


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return the scheduler of the fault suite; None, for that of xdist, unless --dist is `loadgroup`."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from tests.faults.load.groups import GroupScheduling

    return GroupScheduling(config, log)


@pytest.fixture
def services() -> Iterator[Services]:
    """Yield both stand-in services, without a fault."""
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        yield identity, shop
