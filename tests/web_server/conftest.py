"""A hub whose web process is started as in the Procfile, and one with another worker class."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.hub import SIGNING_SECRET
from tests.support.processes.hub_processes import RunningHub, joined_hub

StartHub = Callable[..., AbstractContextManager[RunningHub]]


@pytest.fixture(scope="session")
def start_hub(tmp_path_factory: pytest.TempPathFactory) -> StartHub:
    """Return a context manager that starts a hub, with a log in a file."""

    @contextmanager
    def started(worker_class: str = "", **variables: str) -> Iterator[RunningHub]:
        folder = Path(tmp_path_factory.mktemp("hub"))
        with (
            IdentityService(secret=SIGNING_SECRET) as identity,
            ShopService() as shop,
            joined_hub(folder, identity, shop, **variables) as hub,
        ):
            hub.worker_class, hub.log = worker_class, folder / "log"
            try:
                hub.start()
                yield hub
            finally:
                hub.kill()

    return started


@pytest.fixture(scope="module")
def running(start_hub: StartHub) -> Iterator[RunningHub]:
    with start_hub() as hub:
        yield hub
