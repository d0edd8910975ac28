"""Promise I27: the last write is the newest, even when an older one arrives late; nothing needs another webhook.

A process is stopped (SIGSTOP) with a write on record, before and after it checks its lease, and continued when another
has written newer data; a process is killed with a write in flight, which the shop applies after the newer one. At
full scale, the shop applies writes that it held for up to a minute.
"""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fleet.hub_fleet import Fleet, Member, Services, running_fleet
from tests.faults.injections import environment
from tests.support.hub import ANNA, EXAMPLE
from tests.support.processes.workers import wait_until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.nightly,
    pytest.mark.worker_processes,
    pytest.mark.concurrent,
]

OLD, NEWEST = "old@example.com", "newest@example.com"
# People and the seconds for which the shop holds a write for them.
PEOPLE = {"PERSON25": 25.0, "PERSON60": 60.0}


def change_email(services: Services, person: str, address: str) -> None:
    emails = [{"address": address, "verified": True}]
    services[0].directory.update_record("users", person, {"emails": emails}, replaces=False)


def customer(services: Services, person: str) -> dict[str, Any]:
    records = [record for record in services[1].list_records("customers") if record["external_id"] == person]
    return records[0] if records else {}


def email(services: Services, person: str = ANNA) -> str | None:
    return customer(services, person).get("email")


def written(services: Services) -> list[str]:
    """Return the addresses that the shop has received, in the order of their requests."""
    return [request["body"].get("email") for request in services[1].read_journal(only_writes=True)]


def send(fleet: Fleet, web: Member, name: str, person: str = ANNA, mode: str = "result") -> None:
    """Send a webhook to this web process. That the process dies meanwhile is no error."""
    fleet.hub.port = web.port
    body = json.loads(EXAMPLE) | {"id": person, "respond": mode}
    with suppress(OSError, EOFError):
        fleet.hub.send_signed(json.dumps(body).encode(), f"msg_{name}")


def repaired(fleet: Fleet) -> int:
    return int(fleet.hub.rows("SELECT count(*) FROM sync_recheck WHERE repaired_by_id IS NOT NULL")[0][0])


def stopped_processes(member: Member) -> list[int]:
    """Return the stopped processes of a member's group."""
    assert member.process is not None
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            _, _, facts = (entry / "stat").read_text().rpartition(") ")
            state, _, group = facts.split()[:3]
            if state == "T" and int(group) == member.process.pid:
                found.append(int(entry.name))
    return found


@contextmanager
def small_fleet(folder: Path, services: Services, **variables: str) -> Iterator[Fleet]:
    """Run a web process and a worker, which take over after three seconds and check again from one second on."""
    times = {"LEASE_SECONDS": "3", "RECHECK_SECONDS": "1,2,7", "LOG_LEVEL": "WARNING"}
    with running_fleet(folder, services, webs=1, workers=1, **times | variables) as fleet:
        # No exchange ends because its process was stopped.
        fleet.hub.write("UPDATE sync_connection SET deadline_seconds = 30")
        send(fleet, fleet.webs[0], "first")
        yield fleet


@contextmanager
def stopped_with_old_data(
    fleet: Fleet, services: Services, folder: Path, variant: str
) -> Iterator[list[int]]:
    """Yield the process that is stopped with old data on record, after another has written the newest."""
    fleet.add_web(**environment(folder, variant))
    fleet.wait_until_healthy()
    change_email(services, ANNA, OLD)
    sending = threading.Thread(target=send, args=(fleet, fleet.webs[1], "old"), daemon=True)
    sending.start()
    wait_until(lambda: bool(stopped_processes(fleet.webs[1])), 60)
    change_email(services, ANNA, NEWEST)
    wait_until(lambda: email(services) == NEWEST, 60)
    yield stopped_processes(fleet.webs[1])
    sending.join(60)


def let_continue(processes: list[int]) -> None:
    for process in processes:
        os.kill(process, signal.SIGCONT)


def attempt_of_stopped_process(fleet: Fleet) -> tuple[str, str]:
    """Return the outcome and the code of the attempt that was under way when its process was stopped or killed."""
    [found] = fleet.hub.rows("SELECT outcome, code FROM sync_attempt WHERE outcome = 'unknown'")
    return found


@pytest.mark.one_engine  # with Celery: the write in flight of a killed process
@pytest.mark.promise("I9")
def test_a_process_stopped_before_it_checks_its_lease_sends_and_settles_nothing(
    tmp_path: Path, services: Services
) -> None:
    with (
        small_fleet(tmp_path, services, RECHECK_SECONDS="3600") as fleet,
        stopped_with_old_data(fleet, services, tmp_path, "stops-before-check") as processes,
    ):
        let_continue(processes)
        wait_until(lambda: "lost its lease before sending" in fleet.log.read_text(), 60)
        assert email(services) == NEWEST
        assert attempt_of_stopped_process(fleet) == ("unknown", "interrupted")
        states = fleet.hub.rows("SELECT DISTINCT state FROM sync_delivery")
        assert {state for (state,) in states} <= {"succeeded", "unchanged"}


@pytest.mark.one_engine  # with Celery: the write in flight of a killed process
@pytest.mark.promise("I9", "I27")
def test_old_data_of_a_process_stopped_after_it_checked_its_lease_are_repaired(
    tmp_path: Path, services: Services
) -> None:
    with (
        small_fleet(tmp_path, services, RECHECK_SECONDS="1") as fleet,
        stopped_with_old_data(fleet, services, tmp_path, "stops-after-check") as processes,
    ):
        open_checks = "SELECT count(*) FROM sync_recheck WHERE due_at IS NOT NULL OR delivery_id IS NOT NULL"
        wait_until(lambda: fleet.hub.rows(open_checks) == [(0,)], 60)
        let_continue(processes)
        wait_until(lambda: repaired(fleet) == 1, 60)
        assert email(services) == NEWEST
        assert OLD in written(services), "the old data never arrived"
        assert attempt_of_stopped_process(fleet) == ("unknown", "interrupted")


@pytest.mark.promise("I27")
def test_a_write_in_flight_of_a_killed_process_is_repaired_when_it_lands(
    tmp_path: Path, services: Services
) -> None:
    with small_fleet(tmp_path, services) as fleet:
        held = services[1].faults.add("slow", seconds=120, methods=["PATCH"], times=1)
        seen = len(services[1].read_journal(only_writes=True))
        change_email(services, ANNA, OLD)
        threading.Thread(target=send, args=(fleet, fleet.webs[0], "old"), daemon=True).start()
        wait_until(lambda: len(services[1].read_journal(only_writes=True)) > seen, 60)
        change_email(services, ANNA, NEWEST)
        fleet.webs[0].kill()
        wait_until(lambda: email(services) == NEWEST, 60)
        services[1].faults.clear(held.id)
        wait_until(lambda: repaired(fleet) == 1, 60)
        assert email(services) == NEWEST
        assert OLD in written(services), "the old data never arrived"
        assert attempt_of_stopped_process(fleet)[0] == "unknown"


@pytest.mark.one_database  # it waits for minutes
def test_writes_held_for_minutes_are_repaired_at_full_scale(tmp_path: Path, services: Services) -> None:
    identity, shop = services
    times = {"LEASE_SECONDS": "40", "RECHECK_SECONDS": "60,300,1800"}
    with running_fleet(tmp_path, services, webs=1, workers=1, **times) as fleet:
        for number, (person, seconds) in enumerate(PEOPLE.items(), 1):
            emails = [{"address": f"{person.lower()}@example.com", "verified": True}]
            identity.directory.create_record(
                "users", {"id": person, "username": person.lower(), "emails": emails}
            )
            send(fleet, fleet.webs[0], f"first_{person}", person)
            path = f"/api/customers/{customer(services, person)['id']}$"
            shop.faults.add("slow", seconds=seconds, methods=["PATCH"], path=path, times=1)
            change_email(services, person, f"{person.lower()}.{OLD}")
            send(fleet, fleet.webs[0], f"old_{person}", person, "ack")
            # The newest data must be sent after the timeout and before the old write arrives.
            wait_until(
                lambda wanted=number: fleet.hub.rows("SELECT count(*) FROM sync_recheck") == [(wanted,)], 60
            )
            change_email(services, person, f"{person.lower()}.{NEWEST}")
            send(fleet, fleet.webs[0], f"newest_{person}", person, "ack")
        newest = {person: f"{person.lower()}.{NEWEST}" for person in PEOPLE}
        wait_until(lambda: {person: email(services, person) for person in PEOPLE} == newest, 60)
        wait_until(lambda: repaired(fleet) == len(PEOPLE), 400)
        assert {person: email(services, person) for person in PEOPLE} == newest
        assert all(request["ended"] for request in shop.read_journal(only_writes=True)), "all have arrived"
