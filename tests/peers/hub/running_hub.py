"""The hub as an operator runs it: the web process and a worker of the Procfile, on the database of this process."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes.hub_processes import WITH_WORKERS, RunningHub
from tests.support.processes.workers import own_database, running_workers

SECRET = "peers-secret-0123456789abcdefghijkl"
SECRET_HEADER = "X-Hook-Secret"
VARIABLES = {"LOG_LEVEL": "WARNING", "RECHECK_SECONDS": "3600"}


@dataclass(frozen=True)
class Answer:
    """An answer of the hub to a webhook."""

    status: int
    body: dict[str, Any]

    @property
    def action(self) -> str:
        """Return what was done in the only target."""
        [result] = self.body["results"]
        return str(result.get("action", ""))


@dataclass
class HubProcesses:
    """The running hub. `log` has what its processes print."""

    web: RunningHub
    log: Path

    def url_of(self, slug: str) -> str:
        """Return the address that a source sends its webhooks to."""
        return f"http://127.0.0.1:{self.web.port}/webhooks/{slug}"

    def notify(self, slug: str, entity_id: str, event_type: str, entity_type: str = "USER") -> Answer:
        """Send a webhook as the contract has it, and return its answer."""
        document = {"id": entity_id, "entityType": entity_type, "eventType": event_type}
        reply = self.web.send(json.dumps(document).encode(), f"/webhooks/{slug}", **{SECRET_HEADER: SECRET})
        return Answer(reply.status, json.loads(reply.body))


@contextmanager
def running_processes(log: Path) -> Iterator[HubProcesses]:
    """Yield a hub that answers and has a worker; stop both at the end."""
    environment = os.environ | {
        **WITH_WORKERS,
        **VARIABLES,
        "DATABASE_URL": own_database(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    web = RunningHub(own_database(), environment, log=log)
    try:
        web.start()
        with running_workers(poll=0.5, **VARIABLES):
            yield HubProcesses(web, log)
    finally:
        web.kill()
