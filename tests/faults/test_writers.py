"""Web processes and workers write one SQLite file together, and none of them finds it locked.

Runs once, whatever the database of the run.
"""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.consistency.checker import observe
from tests.faults.fleet.hub_fleet import Services, running_fleet
from tests.faults.load.source_driver import Driver, plan

pytestmark = [
    pytest.mark.faults,
    pytest.mark.nightly,
    pytest.mark.pure,
    pytest.mark.worker_processes,
    pytest.mark.concurrent,
]

SEED = 20261124
PROCESSES, CLIENTS, WEBHOOKS = 4, 16, 800
LOCKED = ("database is locked", "the database raised", "could not be finished", "the database is unavailable")


def test_web_processes_and_workers_write_together_and_none_finds_the_file_locked(
    tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TEST_DATABASE", "sqlite")
    people = [f"PERSON{number}" for number in range(100)]
    with running_fleet(
        tmp_path, services, webs=PROCESSES, workers=PROCESSES, LOG_LEVEL="WARNING", LEASE_SECONDS="10"
    ) as fleet:
        driver = Driver(services[0], lambda: [web.port for web in fleet.webs])
        driver.add_people(people)
        driver.run(plan(WEBHOOKS, WEBHOOKS // 10, people, SEED), CLIENTS)
        fleet.wait_until_idle()
        lines = fleet.log.read_text().splitlines()
        report = observe(driver.sendings, *services, fleet.hub.rows)
        with closing(sqlite3.connect(fleet.hub.database)) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    answers = Counter(str(sending.status) for sending in driver.sendings)
    print(f"\n{dict(answers)}; {report}")
    report.assert_clean()
    assert [line for line in lines if any(word in line for word in LOCKED)] == []
    assert set(answers) == {"200", "202"}
