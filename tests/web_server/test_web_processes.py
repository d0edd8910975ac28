"""The web processes that gunicorn forks: each on one core, and sharing the memory of what the master has loaded."""

import signal
from pathlib import Path

import pytest

from tests.support.processes.hub_processes import RunningHub
from tests.web_server.conftest import StartHub
from tests.web_server.raw_requests.case import webhook

pytestmark = [pytest.mark.nightly, pytest.mark.concurrent, pytest.mark.one_database]


def web_processes(hub: RunningHub) -> list[int]:
    """Return the ids of the processes that gunicorn's master has forked."""
    assert hub.process is not None
    master = hub.process.pid
    return [int(child) for child in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def unshared_part(process: int) -> float:
    """Return the share of a process's memory that no other process has."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
    return (sizes["Private_Clean"] + sizes["Private_Dirty"]) / sizes["Rss"]


def test_a_process_that_is_forked_later_refuses_the_schema_of_another_version(start_hub: StartHub) -> None:
    """The master may have started while the database was away, or long ago."""
    with start_hub() as hub:
        assert hub.process is not None
        hub.write(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('sync', '0099_newer', '2026-01-01')"
        )
        hub.process.send_signal(signal.SIGHUP)
        ended, hub.process = hub.process.wait(timeout=20), None
        assert ended == 3
        assert hub.log is not None
        assert "which does not know sync.0099_newer" in hub.log.read_text()


def test_web_processes_share_what_the_master_has_loaded(start_hub: StartHub) -> None:
    with start_hub() as hub:
        assert hub.raw(webhook()).status == 200
        assert unshared_part(web_processes(hub)[0]) < 0.5
