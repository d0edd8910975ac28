"""Fixtures of every test with peers: the peers, started side by side, and the hub."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.peers.hub.running_hub import HubProcesses, running_processes
from tests.peers.systems.canaille import Canaille
from tests.peers.systems.directus import Directus
from tests.peers.systems.peer import Peer, peers_folder
from tests.peers.systems.pocketbase import PocketBase
from tests.peers.systems.pretix import Pretix
from tests.peers.systems.roundup import Roundup
from tests.peers.systems.scim2_server import Scim2Server
from tests.peers.systems.tryton import Tryton
from tests.peers.systems.vendure import Vendure

pytest.register_assert_rewrite("tests.peers.cases")

PEERS: tuple[type[Peer], ...] = (
    Directus,
    Canaille,
    Vendure,
    Tryton,
    Scim2Server,
    Roundup,
    PocketBase,
    Pretix,
)


class StartedPeers:
    """Peers that start in threads of their own. A test waits for those that it needs."""

    def __init__(self, kinds: list[type[Peer]], run_folder: Path) -> None:
        self._pool = ThreadPoolExecutor(len(PEERS))
        self._peers = [kind(run_folder) for kind in kinds]
        self._opened: dict[str, Future[None]] = {
            peer.name: self._pool.submit(peer.open) for peer in self._peers
        }

    def wait_for(self, name: str) -> Any:
        """Return a peer when it is ready. Fails the test if it cannot be had: nothing is skipped."""
        self._opened[name].result()
        return next(peer for peer in self._peers if peer.name == name)

    def close(self) -> None:
        for opened in self._opened.values():
            opened.cancel()
        self._pool.shutdown()
        for peer in self._peers:
            peer.close()


@pytest.fixture(scope="session")
def started_peers(request: pytest.FixtureRequest) -> Iterator[StartedPeers]:
    """Start all peers that a test of this run needs, at the same time."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this process ends the peers too
    names = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    run_folder = Path(tempfile.mkdtemp(prefix="hub-peers-"))
    started = StartedPeers([kind for kind in PEERS if kind.name in names], run_folder)
    yield started
    started.close()
    shutil.rmtree(run_folder, ignore_errors=True)


@pytest.fixture(scope="session")
def directus(started_peers: StartedPeers) -> Directus:
    peer: Directus = started_peers.wait_for("directus")
    return peer


@pytest.fixture(scope="session")
def canaille(started_peers: StartedPeers) -> Canaille:
    peer: Canaille = started_peers.wait_for("canaille")
    return peer


@pytest.fixture(scope="session")
def pocketbase(started_peers: StartedPeers) -> PocketBase:
    peer: PocketBase = started_peers.wait_for("pocketbase")
    return peer


@pytest.fixture(scope="session")
def pretix(started_peers: StartedPeers) -> Pretix:
    peer: Pretix = started_peers.wait_for("pretix")
    return peer


@pytest.fixture(scope="session")
def roundup(started_peers: StartedPeers) -> Roundup:
    peer: Roundup = started_peers.wait_for("roundup")
    return peer


@pytest.fixture(scope="session")
def scim2_server(started_peers: StartedPeers) -> Scim2Server:
    peer: Scim2Server = started_peers.wait_for("scim2_server")
    return peer


@pytest.fixture(scope="session")
def tryton(started_peers: StartedPeers) -> Tryton:
    peer: Tryton = started_peers.wait_for("tryton")
    return peer


@pytest.fixture(scope="session")
def vendure(started_peers: StartedPeers) -> Vendure:
    peer: Vendure = started_peers.wait_for("vendure")
    return peer


@pytest.fixture(scope="session")
def hub(started_peers: StartedPeers, django_db_setup: None, django_db_blocker: Any) -> Iterator[HubProcesses]:
    """Yield the running hub. Its database is that of this process, so that tests configure it by its models."""
    peers_folder().mkdir(parents=True, exist_ok=True)
    with django_db_blocker.unblock(), running_processes(peers_folder() / "hub.log") as processes:
        yield processes
