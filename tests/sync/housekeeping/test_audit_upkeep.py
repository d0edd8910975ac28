"""The hub keeps its audit log provable by itself, and says where that fails: health, alarms and a line in the console."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from audit.models import Entry, Outlet, Segment, SigningKey, Verification
from audit.sealing.seal import seal_missed_entries
from database.clock import read_clock
from sync.housekeeping.audit_upkeep import BOX, seal_audit, send_checkpoint, verify_audit_log_nightly
from sync.models import Alarm, Periodic
from sync.monitoring.alarms import evaluate_alarms
from sync.worker.schedule import LONG_PERIODIC, PERIODIC
from tests.support.audit.entries import write
from tests.support.hub import Hub
from tests.support.people import browser
from tests.support.processes.workers import wait_until, worker

TOKEN = "monitor-0123456789"


def kinds() -> list[str]:
    """The alarms that are open about the audit log."""
    evaluate_alarms()
    return sorted(
        Alarm.objects.filter(ended_at=None, kind__startswith="audit").values_list("kind", flat=True)
    )


def health() -> dict[str, Any]:
    answer = Client().get("/health", headers={"Authorization": f"Bearer {TOKEN}"})
    return dict(answer.json()["audit"])


@pytest.fixture(autouse=True)
def _set_up(settings: Any) -> None:
    settings.HEALTH_TOKEN = TOKEN
    settings.ALARM_UNSEALED_SECONDS = 10


@pytest.mark.django_db
def test_an_entry_that_waits_for_longer_than_ten_seconds_alarms_until_it_is_sealed() -> None:
    now = read_clock()
    write("event:a", at=now - timedelta(seconds=5))
    assert kinds() == []
    write("event:b", at=now - timedelta(seconds=12))
    assert kinds() == [], "the oldest is the first that was written"
    write("event:c", at=now)
    evaluate_alarms(now + timedelta(seconds=6))
    assert Alarm.objects.get(ended_at=None).kind == "audit-unsealed"
    seal_audit()
    evaluate_alarms(now + timedelta(seconds=7))
    assert not Alarm.objects.filter(ended_at=None).exists()


@pytest.mark.django_db
def test_an_alarm_is_not_raised_where_any_age_will_do(settings: Any) -> None:
    settings.ALARM_UNSEALED_SECONDS = 0
    write("event:a")
    assert kinds() == []


@pytest.mark.django_db
def test_health_says_how_far_the_log_is_sealed_verified_and_told(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT_CHECKPOINT_FOLDER = str(tmp_path)
    assert health() == {
        "segments": 0,
        "sealed_at": None,
        "unsealed_since": None,
        "late_at": None,
        "verified": None,
        "checkpoints": [],
    }
    write("event:a")
    seal_audit()
    send_checkpoint()
    verify_audit_log_nightly()
    write("event:b")
    told = health()
    assert (told["segments"], told["verified"]["segments"], told["verified"]["faults"]) == (1, 1, 0)
    assert told["unsealed_since"] is not None
    assert [(each["way"], each["segments"], each["failing_since"]) for each in told["checkpoints"]] == [
        ("folder", 1, None)
    ]


@pytest.mark.django_db
def test_a_way_out_that_fails_for_ten_minutes_alarms() -> None:
    now = read_clock()
    outlet = Outlet.objects.create(
        name="email", due_at=now, failing_since=now - timedelta(minutes=9), failures=4
    )
    assert kinds() == []
    Outlet.objects.update(
        failing_since=now - timedelta(minutes=11), failure="the mail server did not accept it"
    )
    assert kinds() == ["audit-unanchored"]
    assert Alarm.objects.get().subject == "outlet:email"
    outlet.delete()
    assert kinds() == []


@pytest.mark.django_db
def test_a_fault_that_the_nightly_look_found_alarms_until_a_look_finds_none() -> None:
    now = read_clock()
    Verification.objects.create(
        at=now, segments=3, entries=9, seconds=0.1, faults=2, first_fault="segment 2: …"
    )
    assert kinds() == ["audit-broken"]
    Verification.objects.create(at=now, segments=3, entries=9, seconds=0.1, faults=0)
    assert kinds() == []


def test_the_nightly_look_finds_what_was_changed_in_the_database(database: None) -> None:
    write("event:a", "event:b")
    seal_audit()
    entry = Entry.objects.earliest("id").pk
    with connection.cursor() as cursor:
        change = f"UPDATE audit_entry SET action = 'test.other' WHERE id = {entry}"
        if connection.vendor == "postgresql":
            cursor.execute(
                f"SET session_replication_role = replica; {change}; SET session_replication_role = origin"
            )
        else:
            cursor.execute("SELECT sql FROM sqlite_master WHERE name = 'audit_entry_no_UPDATE'")
            (trigger,) = cursor.fetchone()
            for statement in ("DROP TRIGGER audit_entry_no_UPDATE", change, trigger):
                cursor.execute(statement)
    verify_audit_log_nightly()
    kept = Verification.objects.get()
    assert (kept.faults, kept.first_fault) == (
        1,
        f"entry {entry} (event:a 1): its column action does not match its body",
    )


@pytest.mark.django_db
def test_entries_that_were_sealed_late_alarm_for_a_day() -> None:
    write("event:a")
    seal_audit()
    Segment.objects.create(
        **{
            field.attname: getattr(Segment.objects.get(number=1), field.attname)
            for field in Segment._meta.fields
        }
        | {"number": 2, "is_late": True, "count": 3, "sealed_at": read_clock() - timedelta(hours=23)}
    )
    assert kinds() == ["audit-late"]
    evaluate_alarms(read_clock() + timedelta(hours=2))
    assert "audit-late" not in Alarm.objects.filter(ended_at=None).values_list("kind", flat=True)


@pytest.mark.django_db
def test_the_console_says_up_to_where_the_log_is_verified(settings: Any) -> None:
    client = browser("auditor")

    def text(page: str = "standing/") -> str:
        found = client.get(f"/admin/audit/entry/{page}").content.decode()
        return " ".join(re.sub(r"<[^>]+>", "", found).split())

    assert "Not verified yet." in text("")
    assert "Not verified yet. SealedNothing is sealed yet." in text()
    seal_audit()
    verify_audit_log_nightly()
    for page in ("", "standing/"):
        assert re.search(r"Verified up to segment \d+ at 20[^.]* UTC\.", text(page))
    assert re.search(r"Sealed up to segment \d+ at 20", text())
    assert "No checkpoint is published outside the hub" in text()
    Verification.objects.create(
        at=read_clock(), segments=3, entries=9, seconds=0.1, faults=2, first_fault="<b>here</b>"
    )
    Outlet.objects.create(
        name="post", due_at=read_clock(), count=7, failing_since=read_clock(), failure="refused"
    )
    assert "2 faults found at" in text("")
    assert "2 faults found at" in text()
    assert "Checkpoint 7 was published via post, failing since" in text()
    assert b"<b>here</b>" not in client.get("/admin/audit/entry/standing/").content


@pytest.mark.django_db
def test_a_new_signing_key_begins_by_command() -> None:
    seal_audit()
    call_command("rotate_signing_key")
    old, new = SigningKey.objects.order_by("number")
    assert (old.private, old.valid_until) == (None, new.valid_from)
    write("event:a")
    seal_audit()
    call_command("verify_audit")


def test_the_clock_starts_checkpoints_and_the_nightly_look() -> None:
    names = [each.name for each in (*PERIODIC, *LONG_PERIODIC)]
    assert len(names) == len(set(names))
    assert {"alarms", "checkpoints", "cleanup", "audit", "late-payloads", "jobs"} <= set(names)


@pytest.mark.slow
def test_a_worker_seals_within_seconds_and_sends_checkpoints(
    hub: Hub, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("AUDIT_CHECKPOINT_FOLDER", str(tmp_path))
    hub.change_email("anna.sealed@example.com")
    with worker():
        wait_until(lambda: Segment.objects.filter(count__gt=0).exists())
        wait_until(lambda: Periodic.objects.filter(name="checkpoints").exists())
        Periodic.objects.update(due_at=read_clock())
        wait_until(lambda: any(tmp_path.iterdir()))
    assert seal_missed_entries(BOX, read_clock()) == 0
    call_command("verify_audit", "--checkpoint", str(next(tmp_path.iterdir())))
