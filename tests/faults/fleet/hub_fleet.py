"""Many processes of one hub, as the Procfile starts them, which can be killed and restarted one by one."""

import http.client
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.processes.hub_processes import ROOT, WITH_WORKERS, RunningHub, free_port, joined_hub
from tests.support.processes.workers import worker_command

Services = tuple[IdentityService, ShopService]

START_SECONDS = 90
IDLE_SECONDS = 180.0
_OPEN_DELIVERIES = """SELECT id, state, code, due_at, lease_until, attempts_used, deaths FROM sync_delivery
WHERE state IN ('pending', 'retrying', 'running') ORDER BY id LIMIT 10"""
_BREAKERS = """SELECT connection_id, code, failures, openings, open_until FROM sync_breaker
WHERE open_until IS NOT NULL ORDER BY connection_id LIMIT 10"""
VARIABLES = {
    "LEASE_SECONDS": "3",
    "RECHECK_SECONDS": "3600",  # a re-check would make a delivery run again while the result is read
    "WEB_THREADS": "8",
    "DELIVERY_THREADS": "8",
    "DATABASE_POOL": "10",
    **WITH_WORKERS,
}


@dataclass
class Member:
    """One process in its own process group. `kind` is its name in the Procfile."""

    kind: str
    environment: dict[str, str]
    log: IO[bytes]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process without waiting until it is ready."""
        line = re.search(rf"^{self.kind}: (.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
        assert line, f"the Procfile has no {self.kind} process"
        command = ["sh", "-c", f"exec {line[1]}"]
        self.process = subprocess.Popen(
            worker_command(self.environment) if self.kind == "worker" else command,
            cwd=ROOT,
            env=self.environment | {"HUB_PORT": str(self.port)},
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def kill(self) -> None:
        """Send SIGKILL to the whole process group and wait for its end."""
        process, self.process = self.process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def has_ended(self) -> bool:
        """Return True if the process ended without `kill`."""
        return self.process is not None and self.process.poll() is not None


@dataclass
class Fleet:
    """All processes of one hub on one database."""

    hub: RunningHub
    webs: list[Member]
    workers: list[Member]
    log: Path

    @property
    def members(self) -> list[Member]:
        return [*self.webs, *self.workers]

    def add_web(self, **variables: str) -> None:
        """Start one more web process with these additional variables."""
        log = self.log.open("ab")
        self.webs.append(Member("web", self.hub.environment | variables, log))
        self.webs[-1].start()

    def restart_on(self, url: str) -> None:
        """Kill all processes, and start a web process and a worker on another database."""
        for member in self.members:
            member.kill()
        log = self.log.open("ab")
        self.hub.database, self.hub.environment = url, self.hub.environment | {"DATABASE_URL": url}
        self.webs[:] = [Member("web", self.hub.environment, log)]
        self.workers[:] = [Member("worker", self.hub.environment, log)]
        for member in self.members:
            member.start()
        self.wait_until_healthy()

    def wait_until_healthy(self) -> None:
        until = time.monotonic() + START_SECONDS
        for member in self.webs:
            while not _is_healthy(member.port):
                assert not member.has_ended(), f"a process ended at its start: {self.log.read_text()[-2000:]}"
                assert time.monotonic() < until, "a web process does not answer"
                time.sleep(0.05)

    def wait_until_idle(self, seconds: float = IDLE_SECONDS) -> bool:
        """Wait until no delivery is open. Returns False if some still are after `seconds`, and prints them."""
        until = time.monotonic() + seconds
        query = "SELECT count(*) FROM sync_delivery WHERE state IN ('pending', 'retrying', 'running')"
        while self.hub.rows(query)[0][0]:
            if time.monotonic() > until:
                self._print_open_deliveries()
                return False
            time.sleep(0.2)
        return True

    def _print_open_deliveries(self) -> None:
        """Print the first open deliveries and all open breakers, which pytest shows if the test fails."""
        print("open: id, state, code, due_at, lease_until, attempts_used, deaths")
        for row in self.hub.rows(_OPEN_DELIVERIES):
            print("  ", *row)
        print("breakers: connection, code, failures, openings, open_until")
        for row in self.hub.rows(_BREAKERS):
            print("  ", *row)


@contextmanager
def running_fleet(
    folder: Path,
    services: Services,
    *,
    webs: int,
    workers: int,
    **variables: str,
) -> Iterator[Fleet]:
    """Run a healthy fleet on a new database; kill it at the end."""
    with (
        joined_hub(folder, *services, **VARIABLES | variables) as hub,
        (folder / "fleet.log").open("ab") as log,
    ):
        members = [Member(kind, hub.environment, log) for kind in ["web"] * webs + ["worker"] * workers]
        fleet = Fleet(hub, members[:webs], members[webs:], folder / "fleet.log")
        try:
            for member in fleet.members:
                member.start()
            fleet.wait_until_healthy()
            yield fleet
        finally:
            for member in fleet.members:
                member.kill()


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
