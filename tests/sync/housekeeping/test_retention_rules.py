"""The nightly retention: what it deletes, and what it keeps."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry
from audit.sealing.seal import seal_entries
from database.clock import read_clock
from integration_hub.checks import check_retention
from sync.housekeeping import batch_deletion, retention_rules
from sync.housekeeping.audit_upkeep import CIPHER
from sync.housekeeping.retention_rules import prune_expired
from sync.models import (
    Alarm,
    Attempt,
    Call,
    Delivery,
    Finding,
    Notification,
    PruningRun,
    Recheck,
)
from tests.support.builders.history import (
    a_call,
    a_delivery,
    a_receipt,
    a_route,
    an_attempt,
    an_event,
    sealed,
    sealed_findings,
)
from tests.support.database.query_plans import find_full_scans, recorded_statements
from tests.support.people import entries
from webhooks.models import Event, Payload, Receipt, Refusal
from webhooks.models.rate_limit import RateLimitState

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def refusals(number: int, age: timedelta) -> list[int]:
    at = read_clock() - age
    refusals = [
        Refusal.objects.create(bucket=f"{age}-{position}", code="not-json", first_at=at, last_at=at)
        for position in range(number)
    ]
    return [refusal.pk for refusal in refusals]


def alarm(subject: str, ended: timedelta | None) -> Alarm:
    now = read_clock()
    alarm = Alarm.objects.create(
        kind="source-silent",
        subject=subject,
        began_at=now - 400 * DAY,
        raised_at=now - 400 * DAY,
        ended_at=None if ended is None else now - ended,
    )
    Notification.objects.create(alarm=alarm, channel="email", kind="raised", due_at=now)
    return alarm


def test_expired_sessions_are_deleted() -> None:
    for key, left in (("expired", -timedelta(seconds=1)), ("live", DAY)):
        Session.objects.create(session_key=key, expire_date=read_clock() + left)
    assert prune_expired() == 1
    assert [session.session_key for session in Session.objects.all()] == ["live"]


def test_refusals_beyond_their_number_or_age_are_deleted(settings: Any) -> None:
    settings.MAX_REFUSALS = 4
    refusals(2, 91 * DAY)
    recent = refusals(3, 89 * DAY)
    assert prune_expired() == 2
    assert set(Refusal.objects.values_list("pk", flat=True)) == set(recent)
    newest = refusals(3, DAY)
    prune_expired()
    assert set(Refusal.objects.values_list("pk", flat=True)) == {recent[-1], *newest}


def test_alarms_and_their_messages_are_deleted_ninety_days_after_their_end() -> None:
    alarm("source:1", 91 * DAY)
    kept = [alarm("source:2", 89 * DAY), alarm("source:3", None)]
    assert prune_expired() == 1
    assert list(Alarm.objects.order_by("pk")) == kept
    assert Notification.objects.count() == 2


def test_rate_limit_rows_are_deleted_after_a_day_without_use() -> None:
    now = read_clock()
    for key, age in (("source:1", 2 * DAY), ("source:2", DAY / 2), ("connection:1", -timedelta(seconds=4))):
        RateLimitState.objects.create(key=key, free_at=now - age)
    assert prune_expired() == 1
    assert set(RateLimitState.objects.values_list("key", flat=True)) == {"source:2", "connection:1"}


@pytest.fixture
def years(settings: Any) -> datetime:
    """Payloads for 10 days, calls for 20, events for 30. The moment from which ages count."""
    settings.KEEP_PAYLOADS_DAYS, settings.KEEP_CALLS_DAYS, settings.KEEP_EVENTS_DAYS = 10, 20, 30
    return read_clock()


def a_story(days: int, **values: Any) -> Event:
    """Create an event of this many days ago with six rows of history and seven payloads."""
    at = read_clock() - timedelta(days=days)
    event = an_event(received_at=at, payload=sealed("webhook", {"days": days}), **values)
    route = event.source.routes.first() or a_route(event.source)
    a_receipt(event, received_at=at, answered_at=at, payload=event.payload)
    delivery = a_delivery(event, route)
    findings = sealed_findings(change={"action": "update", "fields": [], "same": {}}, answer={})
    attempt = an_attempt(delivery, 1, started_at=at, findings=findings, action="updated")
    for _ in range(2):
        a_call(attempt, started_at=at)
    Payload.objects.filter(created_at__gt=read_clock() - timedelta(hours=1)).update(created_at=at)
    return event


def remaining_counts() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Event, Receipt, Delivery, Attempt, Call, Payload))


WHOLE = (1, 1, 1, 1, 2, 7)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("days", "remains"),
    [
        (9, WHOLE),
        (11, (1, 1, 1, 1, 2, 0)),
        (21, (1, 1, 1, 1, 0, 0)),
        (31, (0, 0, 0, 0, 0, 0)),
    ],
)
@pytest.mark.usefixtures("years")
def test_each_kind_of_row_is_deleted_at_its_own_age(days: int, remains: tuple[int, ...]) -> None:
    a_story(days)
    prune_expired()
    assert remaining_counts() == remains


def two_calls_that_share_their_responses() -> tuple[Call, Call]:
    """Create two calls of one attempt, of 21 and of 19 days ago, whose payload is of today."""
    now = read_clock()
    event = an_event(received_at=now - timedelta(days=21))
    attempt = an_attempt(a_delivery(event, a_route(event.source)), 1, findings=sealed_findings(change={}))
    shared = sealed("response", [{"body": "first"}, {"body": "second"}])
    values = {"request": None, "response": shared}
    first = a_call(attempt, started_at=now - timedelta(days=21), response_part=0, **values)
    return first, a_call(attempt, started_at=now - timedelta(days=19), response_part=1, **values)


@pytest.mark.usefixtures("years")
def test_shared_responses_are_deleted_with_the_last_call_that_refers_to_them() -> None:
    _, second = two_calls_that_share_their_responses()
    prune_expired()
    assert Call.objects.get() == second
    second.refresh_from_db()
    assert second.stored_response() == {"body": "second"}
    Call.objects.update(started_at=read_clock() - timedelta(days=21))
    prune_expired()
    assert not Call.objects.exists()
    # Of the attempt, which is kept for longer than its calls.
    assert [payload.kind for payload in Payload.objects.all()] == ["findings"]
    assert Attempt.objects.get().stored_finding(Finding.CHANGE) == {}


@pytest.mark.parametrize("state", ["pending", "held"])
@pytest.mark.usefixtures("years")
def test_open_events_are_never_pruned_even_behind_a_worse_delivery(state: str) -> None:
    event = a_story(400)
    a_delivery(event, a_route(event.source, entity_type="OTHER"), state=state)
    assert event.state != state
    prune_expired()
    assert remaining_counts() == (1, 1, 2, *WHOLE[3:])


def test_zero_days_keep_forever(settings: Any) -> None:
    for name in ("PAYLOADS", "CALLS", "EVENTS", "REFUSALS", "ALARMS", "AUDIT"):
        setattr(settings, f"KEEP_{name}_DAYS", 0)
    append_one(read_clock() - 9_000 * DAY)
    seal_entries(CIPHER, read_clock() - 9_000 * DAY)
    a_story(9_000)
    refusals(1, 9_000 * DAY)
    alarm("source:1", 9_000 * DAY)
    assert prune_expired() == 0
    assert remaining_counts() == WHOLE


@pytest.mark.usefixtures("years")
def test_an_attempt_that_settled_a_younger_event_is_deleted_with_its_own_event() -> None:
    old, young = a_story(31), a_story(5)
    Delivery.objects.filter(event=young).update(covered_by=Attempt.objects.get(delivery__event=old))
    prune_expired()
    assert Delivery.objects.get().covered_by is None
    assert Event.objects.get() == young


@pytest.mark.usefixtures("years")
def test_the_rechecks_of_an_attempt_are_deleted_with_its_event() -> None:
    old, young = a_story(31), a_story(5)
    first, second = (Attempt.objects.get(delivery__event=event) for event in (old, young))
    times = {"began_at": first.started_at, "due_at": None}
    Recheck.objects.create(attempt=first, delivery=second.delivery, **times)
    kept = Recheck.objects.create(attempt=second, delivery=first.delivery, repaired_by=first, **times)
    prune_expired()
    assert Recheck.objects.get() == kept
    kept.refresh_from_db()
    assert (kept.delivery, kept.repaired_by) == (None, None)


@pytest.mark.usefixtures("years")
def test_invalid_requests_are_deleted_at_the_age_of_events() -> None:
    now = read_clock()
    for days in (29, 31):
        a_receipt(None, payload=sealed("webhook", b"{"), received_at=now - timedelta(days=days))
    prune_expired()
    assert Receipt.objects.get().received_at == now - timedelta(days=29)
    # Its response: a body that could not be read is deleted after a week.
    assert [payload.kind for payload in Payload.objects.all()] == ["answer"]


@pytest.mark.usefixtures("years")
def test_the_audit_log_records_what_was_deleted_and_loses_nothing() -> None:
    a_story(31)
    before = Entry.objects.count()
    prune_expired()
    pruned = [entry["details"] for entry in entries("retention.pruned")]
    assert [(details["kind"], details["rows"]) for details in pruned] == [
        ("payloads", 7),
        ("calls", 2),
        ("events", 1),
    ]
    begun = [entry["details"] for entry in entries("retention.begun")]
    assert begun == [{"kind": details["kind"], "up_to": details["up_to"]} for details in pruned]
    assert Entry.objects.count() == before + 6
    assert prune_expired() == 0
    assert Entry.objects.count() == before + 6, "nothing went, nothing is said"


@pytest.mark.usefixtures("years")
def test_an_interrupted_run_is_recorded_in_the_audit_log_by_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_deletion, "BATCH_SIZE", 5)
    monkeypatch.setattr(retention_rules, "PAUSE_SECONDS", "not a number of seconds")
    a_story(11)
    with pytest.raises(TypeError):
        prune_expired()
    assert (Payload.objects.count(), entries("retention.pruned")) == (2, [])
    assert len(entries("retention.begun")) == 1
    monkeypatch.setattr(retention_rules, "PAUSE_SECONDS", 0)
    prune_expired()
    assert [entry["details"]["rows"] for entry in entries("retention.pruned")] == [5, 2]
    assert not PruningRun.objects.filter(ended_at=None).exists()


@pytest.mark.usefixtures("years")
def test_every_statement_finds_its_rows_by_an_index() -> None:
    for days in (9, 11, 21, 31):
        a_story(days)
    with recorded_statements() as statements:
        prune_expired()
    small = (
        "django_session",
        "sync_alarm",
        "sync_connection",
        "sync_loginattempt",
        "sync_pruningrun",
        "sync_refreshedtoken",
        "webhooks_refusal",
        "logins_failedlogins",
        "logins_knownaddress",
    )  # bounded in number, read whole
    ours = [statement for statement in statements if not any(name in statement.sql for name in small)]
    assert {
        verb
        for statement in ours
        for verb in ("SELECT", "UPDATE", "DELETE")
        if statement.sql.startswith(verb)
    } == {*("SELECT", "UPDATE", "DELETE")}
    with transaction.atomic():
        if connection.vendor == "postgresql":  # it would read all of tables as small as these
            for join in ("seqscan", "hashjoin", "mergejoin"):
                connection.cursor().execute(f"SET LOCAL enable_{join} = off")
        assert find_full_scans(connection, ours) == {}


@pytest.mark.submission
def test_audit_log_entries_are_deleted_by_whole_segments_and_the_log_records_it(settings: Any) -> None:
    now = read_clock()
    for days in (40, 20):
        append_one(now - timedelta(days=days))
        seal_entries(CIPHER, now - timedelta(days=days))
    before = Entry.objects.count()
    assert prune_expired() == 0, "for ever, unless set otherwise"
    settings.KEEP_AUDIT_DAYS = 30
    deleted = prune_expired()
    assert 0 < deleted < before
    assert prune_expired() == 0
    (record,) = entries("audit.pruned")
    assert (record["details"]["days"], record["details"]["entries"]) == (30, deleted)
    call_command("verify_audit")


def test_the_command_explains_why_it_deletes_nothing(settings: Any) -> None:
    for days in (0, -1):
        settings.KEEP_AUDIT_DAYS = days
        with pytest.raises(CommandError, match=f"is {days}: audit entries are never deleted"):
            call_command("prune_audit")
    settings.KEEP_AUDIT_DAYS = 30
    call_command("prune_audit")


def test_a_warning_is_given_if_events_outlive_their_audit_log_entries(settings: Any) -> None:
    for audit, events, warns in ((0, 0, 0), (30, 30, 0), (30, 31, 1), (30, 0, 1)):
        settings.KEEP_AUDIT_DAYS, settings.KEEP_EVENTS_DAYS = audit, events
        assert len(check_retention()) == warns


def append_one(at: datetime) -> None:
    with transaction.atomic():
        append_entries(NewEntry("event:old", "test.happened"), at=at)
