"""Promise I27: the last write is the newest, even when an older one arrives late; nothing needs another webhook.

A process is stopped (SIGSTOP) with a write on record, before and after it checks its lease, and continued when another
has written newer data; a process is killed with a write in flight, which the shop applies after the newer one. At
full scale, the shop applies writes that it held for up to a minute, in the longer tier for five.
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
from tests.faults.variants.process_variants import environment
from tests.support.hub import ANNA, EXAMPLE
from tests.support.processes.workers import wait_until

OLD, NEWEST = "old@example.com", "newest@example.com"
# People and the seconds for which the shop holds a write for them; the longest only in the longer tier.
PEOPLE = {"PERSON25": 25.0, "PERSON60": 60.0}
LONGEST = {"PERSON300": 300.0}
NOT_REPAIRED_SECONDS = (
    8.0  # after which a broken variant that repairs nothing is caught: longer than its re-checks take
)


def change_email(services: Services, person: str, address: str) -> None:
    emails = [{"address": address, "verified": True}]
    services[0].directory.update_record("users", person, {"emails": emails}, replaces=False)


def customer(services: Services, person: str) -> dict[str, Any]:
    records = [record for record in services[1].list_records("customers") if record["external_id"] == person]
    return records[0] if records else {}


def email(services: Services, person: str = ANNA) -> str | None:
    return customer(services, person).get("email")


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
    wait_until(lambda: bool(stopped_processes(fleet.webs[1])), 15)
    change_email(services, ANNA, NEWEST)
    wait_until(lambda: email(services) == NEWEST, 20)
    yield stopped_processes(fleet.webs[1])
    sending.join(30)


def let_continue(processes: list[int]) -> None:
    for process in processes:
        os.kill(process, signal.SIGCONT)


@pytest.mark.faults
@pytest.mark.worker_processes
@pytest.mark.one_engine  # with Celery: the write in flight of a killed process
@pytest.mark.parametrize(
    ("variant", "sends_old_data"),
    [
        ("stops-before-check", False),
        pytest.param("stops-before-check-and-sends", True, marks=pytest.mark.one_database),
    ],
)
def test_a_process_stopped_before_it_checks_its_lease_sends_nothing(
    tmp_path: Path, services: Services, variant: str, sends_old_data: bool
) -> None:
    with (
        small_fleet(tmp_path, services, RECHECK_SECONDS="3600") as fleet,
        stopped_with_old_data(fleet, services, tmp_path, variant) as processes,
    ):
        let_continue(processes)
        with suppress(AssertionError):
            wait_until(lambda: email(services) == OLD, 3)
        assert (email(services) == OLD) is sends_old_data


@pytest.mark.faults
@pytest.mark.worker_processes
@pytest.mark.one_engine  # with Celery: the write in flight of a killed process
@pytest.mark.parametrize(
    ("variant", "is_repaired"),
    [
        ("stops-after-check", True),
        pytest.param("stops-after-check-and-forgets", False, marks=pytest.mark.one_database),
    ],
)
def test_old_data_of_a_process_stopped_after_it_checked_its_lease_are_repaired(
    tmp_path: Path, services: Services, variant: str, is_repaired: bool
) -> None:
    with (
        small_fleet(tmp_path, services, RECHECK_SECONDS="1") as fleet,
        stopped_with_old_data(fleet, services, tmp_path, variant) as processes,
    ):
        open_checks = "SELECT count(*) FROM sync_recheck WHERE due_at IS NOT NULL OR delivery_id IS NOT NULL"
        wait_until(lambda: fleet.hub.rows(open_checks) == [(0,)], 40)
        let_continue(processes)
        wait_until(lambda: email(services) == OLD, 10)
        with suppress(AssertionError):
            wait_until(lambda: email(services) == NEWEST, 15 if is_repaired else NOT_REPAIRED_SECONDS)
        assert (email(services) == NEWEST) is is_repaired
        if is_repaired:
            wait_until(lambda: repaired(fleet) == 1, 15)


@pytest.mark.faults
@pytest.mark.worker_processes
@pytest.mark.parametrize("variant", [None, pytest.param("no-rechecks", marks=pytest.mark.one_database)])
def test_a_write_in_flight_of_a_killed_process_is_repaired_when_it_lands(
    tmp_path: Path, services: Services, variant: str | None
) -> None:
    with small_fleet(tmp_path, services, **environment(tmp_path, variant)) as fleet:
        held = services[1].faults.add("slow", seconds=120, methods=["PATCH"], times=1)
        seen = len(services[1].read_journal(only_writes=True))
        change_email(services, ANNA, OLD)
        threading.Thread(target=send, args=(fleet, fleet.webs[0], "old"), daemon=True).start()
        wait_until(lambda: len(services[1].read_journal(only_writes=True)) > seen, 15)
        change_email(services, ANNA, NEWEST)
        fleet.webs[0].kill()
        wait_until(lambda: email(services) == NEWEST, 30)
        services[1].faults.clear(held.id)
        wait_until(lambda: email(services) == OLD, 15)
        with suppress(AssertionError):
            wait_until(lambda: email(services) == NEWEST, 20 if variant is None else NOT_REPAIRED_SECONDS)
        assert (email(services) == NEWEST) is (variant is None)
        if variant is None:
            wait_until(lambda: repaired(fleet) == 1, 15)
            assert fleet.hub.rows("SELECT outcome FROM sync_attempt WHERE outcome = 'unknown'") == [
                ("unknown",)
            ]


@pytest.mark.slow
@pytest.mark.one_database  # it waits for minutes
@pytest.mark.worker_processes
def test_writes_held_for_minutes_are_repaired_at_full_scale(
    tmp_path: Path, services: Services, is_long: bool
) -> None:
    identity, shop = services
    people = PEOPLE | (LONGEST if is_long else {})
    times = {"LEASE_SECONDS": "40", "RECHECK_SECONDS": "60,300,1800"}
    with running_fleet(tmp_path, services, webs=1, workers=1, **times) as fleet:
        for number, (person, seconds) in enumerate(people.items(), 1):
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
                lambda wanted=number: fleet.hub.rows("SELECT count(*) FROM sync_recheck") == [(wanted,)], 30
            )
            change_email(services, person, f"{person.lower()}.{NEWEST}")
            send(fleet, fleet.webs[0], f"newest_{person}", person, "ack")
        newest = {person: f"{person.lower()}.{NEWEST}" for person in people}
        wait_until(lambda: {person: email(services, person) for person in people} == newest, 30)
        wait_until(lambda: repaired(fleet) == len(people), 400)
        assert {person: email(services, person) for person in people} == newest
        assert all(request["ended"] for request in shop.read_journal(only_writes=True)), "all have arrived"
