"""The upkeep of the audit log, and its failures: health, alarms and a line in the console."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client

from audit.entries.append import NewEntry, append_entries
from audit.models import CheckpointChannel, Entry, Segment, SigningKey, Verification
from audit.verification import nightly_check
from database.clock import read_clock
from sync.housekeeping import audit_upkeep
from sync.housekeeping.audit_upkeep import seal_audit, send_checkpoint, verify_audit_log_nightly
from sync.housekeeping.key_sets import refresh_key_sets
from sync.models import Alarm
from sync.monitoring.alarms import evaluate_alarms
from sync.worker.schedule import LONG_PERIODIC, PERIODIC
from tests.support.audit.entries import append_test_entries

pytestmark = pytest.mark.concurrent
TOKEN = "monitor-0123456789"


def kinds() -> list[str]:
    """Return the kinds of the open alarms about the audit log."""
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
def test_an_entry_unsealed_for_more_than_ten_seconds_raises_an_alarm(settings: Any) -> None:
    now = read_clock()
    append_test_entries("setting:a", at=now - timedelta(seconds=5))
    assert kinds() == []
    append_test_entries("setting:b", at=now - timedelta(seconds=12))
    assert kinds() == [], "the oldest is the first that was written"
    append_test_entries("event:c", at=now)
    evaluate_alarms(now + timedelta(seconds=6))
    assert Alarm.objects.get(ended_at=None).kind == "audit-unsealed"
    seal_audit()
    evaluate_alarms(now + timedelta(seconds=7))
    assert not Alarm.objects.filter(ended_at=None).exists()
    settings.ALARM_UNSEALED_SECONDS = 0
    append_test_entries("setting:d")
    assert kinds() == []


@pytest.mark.django_db
def test_health_reports_how_far_the_log_is_sealed_verified_and_sent(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT_CHECKPOINT_FOLDER = str(tmp_path)
    assert health() == {
        "segments": 0,
        "sealed_at": None,
        "unsealed_since": None,
        "late_at": None,
        "verified": None,
        "checkpoints": [],
    }
    append_test_entries("setting:a")
    seal_audit()
    send_checkpoint()
    verify_audit_log_nightly()
    append_test_entries("setting:b")
    figures = health()
    assert (figures["segments"], figures["verified"]["segments"], figures["verified"]["faults"]) == (1, 1, 0)
    assert figures["unsealed_since"] is not None
    assert [
        (checkpoint["channel"], checkpoint["segments"], checkpoint["failing_since"])
        for checkpoint in figures["checkpoints"]
    ] == [("folder", 1, None)]


@pytest.mark.django_db
def test_a_checkpoint_channel_that_fails_for_ten_minutes_raises_an_alarm() -> None:
    now = read_clock()
    channel = CheckpointChannel.objects.create(
        name="email", due_at=now, failing_since=now - timedelta(minutes=9), failures=4
    )
    assert kinds() == []
    CheckpointChannel.objects.update(
        failing_since=now - timedelta(minutes=11), failure="the mail server did not accept it"
    )
    assert kinds() == ["audit-unanchored"]
    assert Alarm.objects.get().subject == "channel:email"
    channel.delete()
    assert kinds() == []


@pytest.mark.django_db
def test_a_fault_found_by_the_nightly_check_raises_an_alarm_until_a_check_is_clean() -> None:
    now = read_clock()
    Verification.objects.create(
        at=now, segments=3, entries=9, seconds=0.1, faults=2, first_fault="segment 2: …"
    )
    assert kinds() == ["audit-broken"]
    Verification.objects.create(at=now, segments=3, entries=9, seconds=0.1, faults=0)
    assert kinds() == []


@pytest.mark.django_db
def test_two_days_without_a_check_raise_an_alarm_until_one_runs() -> None:
    append_test_entries("setting:a")
    seal_audit()
    now = read_clock()
    evaluate_alarms(now + timedelta(hours=47))
    assert not Alarm.objects.filter(kind="audit-unchecked").exists()
    evaluate_alarms(now + timedelta(hours=49))
    assert Alarm.objects.get(kind="audit-unchecked").ended_at is None
    Verification.objects.create(at=now + timedelta(hours=49), segments=1, entries=1, seconds=0.1, faults=0)
    evaluate_alarms(now + timedelta(hours=50))
    assert Alarm.objects.get(kind="audit-unchecked").ended_at is not None


def test_the_nightly_check_runs_although_sealing_or_another_check_fails(
    database: None, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("an id has no packed form")

    append_test_entries("setting:a")
    seal_audit()
    monkeypatch.setattr(audit_upkeep, "seal_missed_entries", fail)
    monkeypatch.setattr(nightly_check, "verify_database", fail)
    settings.NIGHTLY_CHECKS = [f"{__name__}.stopped_check", *settings.NIGHTLY_CHECKS]
    with transaction.atomic():
        append_entries(NewEntry("event:strange", "webhook.received", "source:crm", {}))
    verify_audit_log_nightly()
    verification = Verification.objects.get()
    assert verification.faults == 3
    assert verification.first_fault == "the audit log could not be verified: RuntimeError"
    assert kinds() == ["audit-broken"]


def stopped_check() -> list[str]:
    raise RuntimeError("it stumbled over a row")


@pytest.mark.parametrize("number", [0, -1])
def test_the_database_refuses_an_entry_whose_id_has_no_packed_form(database: None, number: int) -> None:
    append_test_entries("setting:a")
    entry = Entry.objects.get()
    entry.pk, entry.stream = number, "setting:b"
    with pytest.raises(IntegrityError), transaction.atomic():
        entry.save(force_insert=True)


@pytest.mark.django_db
def test_entries_sealed_late_raise_an_alarm_for_a_day() -> None:
    append_test_entries("setting:a")
    seal_audit()
    Segment.objects.create(
        **{
            field.attname: getattr(Segment.objects.get(number=1), field.attname)
            for field in Segment._meta.fields
        }
        | {"number": 2, "is_late": True, "count": 3, "sealed_at": read_clock() - timedelta(hours=23)}
    )
    assert kinds() == ["audit-foreign-rows", "audit-late"], "the copy has no signature of its own"
    evaluate_alarms(read_clock() + timedelta(hours=2))
    assert "audit-late" not in Alarm.objects.filter(ended_at=None).values_list("kind", flat=True)


@pytest.mark.django_db
def test_a_new_signing_key_begins_by_command() -> None:
    seal_audit()
    call_command("rotate_signing_key")
    old, new = SigningKey.objects.order_by("number")
    assert (old.private, old.valid_until) == (None, new.valid_from)
    append_test_entries("setting:a")
    seal_audit()
    call_command("verify_audit")


def test_periodic_work_starts_checkpoints_and_the_nightly_check() -> None:
    names = [periodic.name for periodic in (*PERIODIC, *LONG_PERIODIC)]
    assert len(names) == len(set(names))
    assert {"alarms", "checkpoints", "cleanup", "audit", "late-payloads", "jobs"} <= set(names)
    assert refresh_key_sets in [periodic.run for periodic in LONG_PERIODIC]
