"""What the night takes away, and what it leaves."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry
from audit.sealing.seal import seal_entries
from database.clock import read_clock
from integration_hub.checks import check_retention
from sync.housekeeping import batch_deletion as housekeeping_prune
from sync.housekeeping import retention_rules
from sync.housekeeping.audit_upkeep import BOX
from sync.housekeeping.retention_rules import prune_expired, pruned_at
from sync.models import Alarm, Attempt, Call, Delivery, Pruning, RetentionCategory, Telling
from tests.support.builders.history import (
    a_call,
    a_delivery,
    a_receipt,
    a_route,
    an_attempt,
    an_event,
    sealed,
)
from tests.support.database.query_plans import Seen, scans, seeing
from tests.support.people import browser, entries
from webhooks.models import Event, Payload, Receipt, Refusal
from webhooks.models.rate_limit import Pace

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def sessions(**ages: timedelta) -> None:
    now = read_clock()
    Session.objects.bulk_create(
        Session(session_key=key, session_data="", expire_date=now - age) for key, age in ages.items()
    )


def refusals(number: int, age: timedelta) -> list[int]:
    at = read_clock() - age
    made = [
        Refusal.objects.create(bucket=f"{age}-{each}", code="not-json", first_at=at, last_at=at)
        for each in range(number)
    ]
    return [each.pk for each in made]


def alarm(subject: str, ended: timedelta | None) -> Alarm:
    now = read_clock()
    made = Alarm.objects.create(
        kind="source-silent",
        subject=subject,
        began_at=now - 400 * DAY,
        raised_at=now - 400 * DAY,
        ended_at=None if ended is None else now - ended,
    )
    Telling.objects.create(alarm=made, channel="email", news="raised", due_at=now)
    return made


def test_sessions_go_when_they_have_expired() -> None:
    sessions(expired=timedelta(seconds=1), live=-DAY)
    assert prune_expired() == 1
    assert [each.session_key for each in Session.objects.all()] == ["live"]


def test_refusals_go_beyond_their_number_and_their_age(settings: Any) -> None:
    settings.REFUSALS_KEPT = 4
    refusals(2, 91 * DAY)
    recent = refusals(3, 89 * DAY)
    assert prune_expired() == 2
    assert set(Refusal.objects.values_list("pk", flat=True)) == set(recent)
    newest = refusals(3, DAY)
    prune_expired()
    assert set(Refusal.objects.values_list("pk", flat=True)) == {recent[-1], *newest}


def test_alarms_go_with_what_was_told_of_them_ninety_days_after_they_ended() -> None:
    alarm("source:1", 91 * DAY)
    kept = [alarm("source:2", 89 * DAY), alarm("source:3", None)]
    assert prune_expired() == 1
    assert list(Alarm.objects.order_by("pk")) == kept
    assert Telling.objects.count() == 2


def test_paces_go_when_nobody_went_for_a_day() -> None:
    now = read_clock()
    for key, age in (("source:1", 2 * DAY), ("source:2", DAY / 2), ("connection:1", -timedelta(seconds=4))):
        Pace.objects.create(key=key, free_at=now - age)
    assert prune_expired() == 1
    assert set(Pace.objects.values_list("key", flat=True)) == {"source:2", "connection:1"}


@pytest.fixture
def years(settings: Any) -> datetime:
    """Payloads for 10 days, calls for 20, events for 30. The moment from which ages count."""
    settings.KEEP_PAYLOADS_DAYS, settings.KEEP_CALLS_DAYS, settings.KEEP_EVENTS_DAYS = 10, 20, 30
    return read_clock()


def a_story(days: int, **values: Any) -> Event:
    """An event of so many days ago with all that hangs on it: eight rows of history, seven payloads."""
    at = read_clock() - timedelta(days=days)
    event = an_event(received_at=at, payload=sealed("webhook", {"days": days}), **values)
    route = event.source.routes.first() or a_route(event.source)
    a_receipt(event, received_at=at, answered_at=at, payload=event.payload)
    delivery = a_delivery(event, route)
    change = sealed("change", {"action": "update", "fields": [], "same": {}})
    attempt = an_attempt(
        delivery, 1, started_at=at, change=change, answer=sealed("response", {}), action="updated"
    )
    for _ in range(2):
        a_call(attempt, started_at=at)
    Payload.objects.filter(created_at__gt=read_clock() - timedelta(hours=1)).update(created_at=at)
    return event


def left() -> tuple[int, ...]:
    return tuple(each.objects.count() for each in (Event, Receipt, Delivery, Attempt, Call, Payload))


WHOLE = (1, 1, 1, 1, 2, 8)


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
def test_each_kind_goes_at_its_own_age(days: int, remains: tuple[int, ...]) -> None:
    a_story(days)
    prune_expired()
    assert left() == remains


@pytest.mark.parametrize("state", ["pending", "retrying", "running", "held"])
@pytest.mark.usefixtures("years")
def test_what_is_open_is_never_pruned_even_behind_something_worse(state: str) -> None:
    event = a_story(400)
    claimed = {"token": event.uuid, "lease_until": read_clock()} if state == "running" else {}
    a_delivery(event, a_route(event.source, entity_type="OTHER"), state=state, **claimed)
    assert event.state != state
    prune_expired()
    assert left() == (1, 1, 2, *WHOLE[3:])


@pytest.mark.parametrize("days", [0, -1])
def test_nought_keeps_for_ever_and_so_does_less(settings: Any, days: int) -> None:
    for name in ("PAYLOADS", "CALLS", "EVENTS", "REFUSALS", "ALARMS", "AUDIT"):
        setattr(settings, f"KEEP_{name}_DAYS", days)
    append_one(read_clock() - 9_000 * DAY)
    seal_entries(BOX, read_clock() - 9_000 * DAY)
    a_story(9_000)
    refusals(1, 9_000 * DAY)
    alarm("source:1", 9_000 * DAY)
    assert prune_expired() == 0
    assert left() == WHOLE


@pytest.mark.usefixtures("years")
def test_an_attempt_that_settled_a_younger_event_goes_with_its_own() -> None:
    old, young = a_story(31), a_story(5)
    Delivery.objects.filter(event=young).update(covered_by=Attempt.objects.get(delivery__event=old))
    prune_expired()
    assert Delivery.objects.get().covered_by is None
    assert Event.objects.get() == young


@pytest.mark.usefixtures("years")
def test_requests_that_were_no_webhooks_go_as_events_do() -> None:
    now = read_clock()
    for days in (29, 31):
        a_receipt(None, payload=sealed("webhook", b"{"), received_at=now - timedelta(days=days))
    prune_expired()
    assert Receipt.objects.get().received_at == now - timedelta(days=29)
    assert Payload.objects.count() == 2


@pytest.mark.usefixtures("years")
def test_the_audit_log_says_what_went_and_loses_nothing() -> None:
    a_story(31)
    before = Entry.objects.count()
    prune_expired()
    told = [each["details"] for each in entries("retention.pruned")]
    assert [(each["kind"], each["rows"]) for each in told] == [("payloads", 8), ("calls", 2), ("events", 1)]
    begun = [each["details"] for each in entries("retention.begun")]
    assert begun == [{"kind": each["kind"], "up_to": each["up_to"]} for each in told]
    assert Entry.objects.count() == before + 6
    assert prune_expired() == 0
    assert Entry.objects.count() == before + 6, "nothing went, nothing is said"


@pytest.mark.usefixtures("years")
def test_a_run_that_was_cut_off_is_put_on_the_audit_log_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping_prune, "BATCH_SIZE", 5)
    monkeypatch.setattr(retention_rules, "PAUSE_SECONDS", "not a number of seconds")
    a_story(11)
    with pytest.raises(TypeError):
        prune_expired()
    assert (Payload.objects.count(), entries("retention.pruned")) == (3, [])
    assert len(entries("retention.begun")) == 1
    monkeypatch.setattr(retention_rules, "PAUSE_SECONDS", 0)
    prune_expired()
    assert [each["details"]["rows"] for each in entries("retention.pruned")] == [5, 3]
    assert not Pruning.objects.filter(ended_at=None).exists()


@pytest.mark.usefixtures("years")
def test_the_page_of_an_event_says_when_its_payloads_were_deleted() -> None:
    kept, pruned = a_story(9), a_story(11)
    prune_expired()
    client = browser()
    told = f"Deleted after its retention period, on {read_clock():%Y-%m-%d}."
    assert told not in page(client, kept)
    assert page(client, pruned).count(told) == 7, "received, told, before and after, two calls to and fro"


@pytest.mark.usefixtures("years")
def test_why_a_payload_is_missing_is_told_by_the_first_run_that_reached_it() -> None:
    now = read_clock()
    for days in (3, 2, 1):
        at = now - timedelta(days=days)
        Pruning.objects.create(
            kind=RetentionCategory.PAYLOADS, up_to=at - 10 * DAY, began_at=at, ended_at=at, rows=1
        )
    assert pruned_at(RetentionCategory.PAYLOADS, now - 12 * DAY - timedelta(hours=1)) == now - 2 * DAY
    assert pruned_at(RetentionCategory.PAYLOADS, now - 9 * DAY) is None


def page(client: Client, event: Event) -> str:
    return client.get(f"/admin/webhooks/event/{event.pk}/change/").content.decode()


@pytest.mark.usefixtures("years")
def test_it_goes_in_small_transactions_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping_prune, "BATCH_SIZE", 5)
    for _ in range(6):
        a_story(11)
    sizes: list[int] = []
    delete = housekeeping_prune.delete_payloads

    def counted(keys: list[int]) -> None:
        sizes.append(len(keys))
        delete(keys)

    monkeypatch.setattr(housekeeping_prune, "delete_payloads", counted)
    prune_expired()
    assert sum(sizes) == 48
    assert max(sizes) == 5
    assert not Payload.objects.exists()


@pytest.mark.usefixtures("years")
def test_every_statement_finds_its_rows_by_an_index() -> None:
    for days in (9, 11, 21, 31):
        a_story(days)
    with seeing() as statements:
        prune_expired()
    small = (
        "django_session",
        "sync_alarm",
        "sync_pruning",
        "webhooks_refusal",
    )  # bounded in number, read whole
    ours = [each for each in statements if not any(name in each.sql for name in small)]
    assert {
        verb for each in ours for verb in ("SELECT", "UPDATE", "DELETE") if each.sql.startswith(verb)
    } == {*("SELECT", "UPDATE", "DELETE")}
    assert _unserved(ours) == {}


def _unserved(seen: list[Seen]) -> dict[str, list[str]]:
    with transaction.atomic():
        if connection.vendor == "postgresql":
            connection.cursor().execute(
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL "
                "enable_mergejoin = off"
            )
        return scans(connection, seen)


def test_audit_entries_go_at_their_own_age_by_whole_segments_and_the_log_says_so(settings: Any) -> None:
    now = read_clock()
    for days in (40, 20):
        append_one(now - timedelta(days=days))
        seal_entries(BOX, now - timedelta(days=days))
    before = Entry.objects.count()
    assert prune_expired() == 0, "for ever, unless set otherwise"
    settings.KEEP_AUDIT_DAYS = 30
    gone = prune_expired()
    assert 0 < gone < before
    assert prune_expired() == 0
    (told,) = entries("audit.pruned")
    assert (told["details"]["days"], told["details"]["entries"]) == (30, gone)
    call_command("verify_audit")


def test_the_command_says_why_it_deletes_nothing(settings: Any) -> None:
    for days in (0, -1):
        settings.KEEP_AUDIT_DAYS = days
        with pytest.raises(CommandError, match=f"is {days}: audit entries are never deleted"):
            call_command("prune_audit")
    settings.KEEP_AUDIT_DAYS = 30
    call_command("prune_audit")


@pytest.mark.parametrize(("audit", "events", "warns"), [(0, 0, 0), (30, 30, 0), (30, 31, 1), (30, 0, 1)])
def test_events_that_outlive_their_proof_are_warned_of(
    settings: Any, audit: int, events: int, warns: int
) -> None:
    settings.KEEP_AUDIT_DAYS, settings.KEEP_EVENTS_DAYS = audit, events
    assert len(check_retention()) == warns


def append_one(at: datetime) -> None:
    with transaction.atomic():
        append_entries(NewEntry("event:old", "test.happened"), at=at)
