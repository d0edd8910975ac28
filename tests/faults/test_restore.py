"""A backup of PostgreSQL that was made while webhooks arrived is a whole hub: it delivers what was open, and goes on.

`tests/project/backups` restores hubs in which nothing happens.
"""

import re
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.fleet.hub_fleet import Services, running_fleet
from tests.faults.load.source_driver import Driver, plan
from tests.support.database.empty_postgresql import empty_postgresql
from tests.support.processes.workers import wait_until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.submission,
    pytest.mark.only_postgresql,
    pytest.mark.one_engine,
    pytest.mark.concurrent,
]

WEBHOOKS, CLIENTS = 200, 8
PEOPLE = [f"PERSON{number}" for number in range(60)]
OPEN = "SELECT count(*) FROM sync_delivery WHERE state IN ('pending', 'retrying', 'running')"
RESUME = """
from sync.operations.pauses import resume_flow
from webhooks.models import Source
for source in Source.objects.all():
    resume_flow(source)
"""


def test_a_backup_made_under_load_is_restored_into_another_database_and_goes_on(
    tmp_path: Path, services: Services
) -> None:
    services[1].faults.add("slow", seconds=1.0)  # so that deliveries are open at any moment
    with running_fleet(tmp_path, services, webs=1, workers=1) as fleet, empty_postgresql() as url:
        hub = fleet.hub
        driver = Driver(services[0], lambda: [web.port for web in fleet.webs])
        driver.add_people(PEOPLE)
        webhooks = plan(WEBHOOKS, 10, PEOPLE, 20261202)
        load = threading.Thread(target=driver.run, args=(webhooks, CLIENTS))
        load.start()
        while len(driver.sendings) < WEBHOOKS / 3:
            time.sleep(0.05)
        before = {sending.webhook_id for sending in list(driver.sendings) if sending.is_acknowledged}
        made = hub.manage("backup", str(tmp_path / "backup"))
        assert "its audit log has no faults" in made
        load.join()
        for member in fleet.members:
            member.kill()
        services[1].faults.clear()
        hub.environment = hub.environment | {"DATABASE_URL": url}
        hub.database = url
        restored = hub.manage("restore", str(tmp_path / "backup"), "--no-erasures")
        assert "The audit log has no faults." in restored
        stored = {event_id for (event_id,) in hub.rows("SELECT event_id FROM webhooks_event")}
        assert before <= stored, "an acknowledged webhook is not in the backup"
        assert len(stored) < len({webhook.webhook_id for webhook in webhooks}), (
            "nothing arrived after the backup"
        )
        assert hub.rows(OPEN)[0][0] > 0
        assert "The rows about events agree" in hub.manage("verify_audit")
        sealed = read_segment(hub.manage("verify_audit", "--log-only"))
        hub.manage("shell", "-c", RESUME)
        fleet.restart_on(url)
        assert fleet.wait_until_idle()
        # What came after the backup is sent again by its source, and the rest is known.
        driver.run(webhooks, CLIENTS)
        assert fleet.wait_until_idle()
        states = Counter(state for (state,) in hub.rows("SELECT state FROM sync_delivery"))
        assert set(states) <= {"succeeded", "unchanged", "superseded"}
        after = {event_id for (event_id,) in hub.rows("SELECT event_id FROM webhooks_event")}
        assert after >= {webhook.webhook_id for webhook in webhooks}
        wait_until(lambda: read_segment(hub.manage("verify_audit", "--log-only")) > sealed)
        assert "The rows about events agree" in hub.manage("verify_audit")


def read_segment(printed: str) -> int:
    found = re.search(r"up to segment (\d+)", printed)
    assert found, printed
    return int(found[1])
