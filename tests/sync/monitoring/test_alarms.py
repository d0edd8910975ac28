"""Silence and lag raise alarms: on transitions only, once, unless snoozed, and recorded."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection

from logins.attempt_counts import count_failures
from sync.models import Alarm, AlarmKind, FailureGroup, Route
from sync.monitoring.alarm_texts import alarm_text
from sync.monitoring.alarms import evaluate_alarms, raise_alarm, snooze_alarm
from sync.monitoring.conditions import AlarmCondition
from tests.support.builders.alarms import (
    PEOPLE,
    a_late_delivery,
    a_late_delivery_with_breaker,
    a_paused_connection,
    a_silence_alarm,
    a_watched_source,
    alarm_entries,
    minutes,
    open_kinds,
    receive_event,
    two_deliveries_of_one_subject,
)
from tests.support.builders.history import NOON, a_receipt, a_route, a_source, an_event
from tests.support.builders.overviews import a_failure_group
from tests.support.threads import in_threads
from webhooks.models import Event, Source

pytestmark = pytest.mark.concurrent
HALF_PAST = NOON + minutes(30)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _mail(settings: Any) -> None:
    settings.ALARM_EMAILS = PEOPLE


def subjects(mailoutbox: list[Any]) -> list[str]:
    return [mail.subject.removeprefix("[Integration Hub] ") for mail in mailoutbox]


@pytest.mark.django_db
def test_a_silent_source_and_its_return_are_notified_once(mailoutbox: list[Any]) -> None:
    aurora = a_watched_source()
    evaluate_alarms(HALF_PAST)
    assert not Alarm.objects.exists()
    for second in (1, 2, 300):
        evaluate_alarms(HALF_PAST + second * SECOND)
    assert subjects(mailoutbox) == ["Aurora is silent"]
    receive_event(aurora, NOON + minutes(40))
    for second in (1, 2):
        evaluate_alarms(NOON + minutes(41) + second * SECOND)
    assert subjects(mailoutbox) == ["Aurora is silent", "Ended: Aurora is silent"]
    alarm = Alarm.objects.get()
    assert (alarm.began_at, alarm.raised_at) == (NOON, HALF_PAST + SECOND)
    assert alarm.ended_at == NOON + minutes(41) + SECOND


SITUATIONS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "heard_just_now": (lambda: a_watched_source(last_event_at=NOON - minutes(30)), []),
    "silent": (lambda: a_watched_source(last_event_at=NOON - minutes(30) - SECOND), ["source-silent"]),
    "silent_but_disabled": (lambda: a_watched_source(last_event_at=NOON - minutes(60), is_enabled=False), []),
    "silent_without_threshold": (
        lambda: a_watched_source(last_event_at=NOON - minutes(9999), silence_minutes=None),
        [],
    ),
    "never_sent_and_new": (lambda: never_sent(NOON - minutes(30)), []),
    "never_sent_and_old": (lambda: never_sent(NOON - minutes(31)), ["source-silent"]),
    "due_for_five_minutes": (lambda: a_late_delivery(NOON - minutes(5)), []),
    "due_for_longer": (lambda: a_late_delivery(NOON - minutes(5) - SECOND), ["deliveries-late"]),
    "retry_due_for_longer": (lambda: a_late_delivery(NOON - minutes(6), "retrying"), ["deliveries-late"]),
    "due_in_the_future": (lambda: a_late_delivery(NOON + minutes(60), "retrying"), []),
    "due_once_and_settled": (lambda: a_late_delivery(NOON - minutes(60), "succeeded"), []),
    "due_but_the_shop_is_paused": (lambda: a_late_delivery_with_breaker("target"), []),
    "due_but_the_identity_service_is_paused": (lambda: a_late_delivery_with_breaker("identity"), []),
    "due_and_the_paused_shop_is_switched_off": (
        lambda: a_late_delivery_with_breaker("target", is_enabled=False),
        ["deliveries-late"],
    ),
    "due_and_the_shop_was_reached_again": (
        lambda: a_late_delivery_with_breaker("target", successes=1),
        ["deliveries-late"],
    ),
    "relayed_behind_one_that_is_fetched": (
        lambda: two_deliveries_of_one_subject(NOON + minutes(9), older_is_relayed=False),
        ["deliveries-late"],
    ),
    "fetched_behind_one_that_is_relayed": (
        lambda: two_deliveries_of_one_subject(NOON + minutes(9), younger_is_relayed=False),
        ["deliveries-late"],
    ),
    "behind_a_relayed_one_that_is_tried_again": (
        lambda: two_deliveries_of_one_subject(NOON + minutes(9)),
        [],
    ),
    "behind_a_relayed_one_that_is_late": (
        lambda: two_deliveries_of_one_subject(NOON - minutes(9)),
        ["deliveries-late"],
    ),
    "failed": (lambda: open_failures(1), ["deliveries-dead"]),
    "failed_and_ignored": (lambda: open_failures(1, state="ignored"), []),
    "failed_and_resolved": (lambda: open_failures(1, state="resolved"), []),
    "closed": (lambda: an_event(state="closed"), []),
    "held": (lambda: an_event(state="held"), ["deliveries-held"]),
    "paused_for_five_minutes": (lambda: a_paused_connection(NOON - minutes(5), NOON + SECOND), []),
    "paused_for_longer": (
        lambda: a_paused_connection(NOON - minutes(6), NOON + SECOND),
        ["connection-paused"],
    ),
    "paused_and_half_open": (
        lambda: a_paused_connection(NOON - minutes(6), NOON - SECOND),
        ["connection-paused"],
    ),
    "paused_but_switched_off": (lambda: a_paused_connection(NOON - minutes(6), NOON, is_enabled=False), []),
    "closed_again": (lambda: a_paused_connection(NOON - minutes(6), None), []),
    "nothing": (lambda: None, []),
}


def open_failures(number: int, **values: Any) -> None:
    """Let the only group of failures have so many, as the page *Failures* counts them."""
    if not Route.objects.exists():
        a_route(a_source())
    group = FailureGroup.objects.first() or a_failure_group("target-rejected", number)
    FailureGroup.objects.filter(pk=group.pk).update(number=number, **values)


def never_sent(made_at: datetime) -> None:
    source = Source.objects.create(slug="new", name="New", scheme="none", silence_minutes=30)
    Source.objects.filter(pk=source.pk).update(created_at=made_at)


@pytest.mark.django_db
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_situation_raises_exactly_its_alarms(situation: str, mailoutbox: list[Any]) -> None:
    prepare, expected = SITUATIONS[situation]
    prepare()
    evaluate_alarms(NOON)
    assert open_kinds() == expected
    assert len(mailoutbox) == len(expected)


@pytest.mark.django_db
@pytest.mark.parametrize(("limit", "failed", "is_raised"), [(3, 2, False), (3, 3, True), (0, 5, False)])
def test_open_failures_raise_an_alarm_from_the_configured_number(
    limit: int, failed: int, is_raised: bool, settings: Any
) -> None:
    settings.ALARM_DEAD = limit
    open_failures(failed)
    evaluate_alarms(NOON)
    assert Alarm.objects.exists() is is_raised


@pytest.mark.django_db
def test_more_failures_change_the_count_without_a_new_message(mailoutbox: list[Any]) -> None:
    open_failures(1)
    evaluate_alarms(NOON)
    open_failures(2)
    evaluate_alarms(NOON + minutes(1))
    assert (Alarm.objects.get().count, subjects(mailoutbox)) == (2, ["1 open failure"])
    open_failures(1)
    evaluate_alarms(NOON + minutes(2))
    assert Alarm.objects.get().count == 1
    open_failures(0)
    evaluate_alarms(NOON + minutes(3))
    assert subjects(mailoutbox)[1:] == ["Ended: 2 open failures"]
    assert alarm_text(Alarm.objects.get()).title == "2 failures were open", "an ended alarm keeps its peak"


@pytest.mark.submission
@pytest.mark.parametrize("ends", [False, True])
def test_eight_simultaneous_evaluations_notify_once(
    database: None, ends: bool, mailoutbox: list[Any]
) -> None:
    aurora = a_watched_source()
    if ends:
        evaluate_alarms(NOON + minutes(31))
        receive_event(aurora, NOON + minutes(32))
    at_once = threading.Barrier(8)
    connection.close()  # a process has eight

    def one_look(_: int) -> None:
        connection.ensure_connection()
        at_once.wait(60)
        evaluate_alarms(NOON + minutes(33 if ends else 31))

    in_threads(one_look)
    assert subjects(mailoutbox) == ["Aurora is silent", *(["Ended: Aurora is silent"] if ends else [])]
    assert [action for action, _ in alarm_entries()] == ["alarm.raised", *(["alarm.ended"] if ends else [])]


@pytest.mark.django_db
def test_an_outdated_evaluation_changes_nothing() -> None:
    alarm = a_silence_alarm()
    Alarm.objects.filter(pk=alarm.pk).update(ended_at=NOON + minutes(40))
    stale = AlarmCondition(AlarmKind.SOURCE_SILENT, NOON, alarm.subject, alarm.name)
    assert raise_alarm(stale, NOON + minutes(40)) is None
    assert raise_alarm(stale, NOON + minutes(40) + SECOND) is not None
    Source.objects.update(is_enabled=False)
    evaluate_alarms(NOON + minutes(39))
    assert open_kinds() == ["source-silent"]


@pytest.mark.django_db
def test_every_transition_is_recorded_in_the_audit_log() -> None:
    alarm = a_silence_alarm()
    person = User.objects.create_user("anna")
    snooze_alarm(
        alarm, NOON + minutes(60), by=person, reason="known", at=NOON + minutes(32), address="192.0.2.9"
    )
    evaluate_alarms(NOON + minutes(60))
    Source.objects.update(silence_minutes=None)
    evaluate_alarms(NOON + minutes(61))
    alarm_log = alarm_entries()
    assert [action for action, _ in alarm_log] == [
        "alarm.raised",
        "alarm.snoozed",
        "alarm.woken",
        "alarm.ended",
    ]
    assert {body["stream"] for _, body in alarm_log} == {alarm.stream}
    assert {body["details"]["subject"] for _, body in alarm_log} == {alarm.subject}
    snoozed = alarm_log[1][1]
    assert (snoozed["actor"], snoozed["details"]["address"]) == (f"person:{person.pk}", "192.0.2.9")
    assert "known" not in str(alarm_log)


@pytest.mark.django_db
def test_unreadable_client_addresses_behind_a_proxy_raise_an_alarm_for_an_hour(settings: Any) -> None:
    a_watched_source()
    event = Event.objects.get()
    a_receipt(event, address=None, received_at=NOON)
    evaluate_alarms(NOON + minutes(1))
    assert not Alarm.objects.exists(), "the header is not read"
    settings.TRUSTED_PROXIES = 1
    evaluate_alarms(NOON + minutes(2))
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.began_at) == (AlarmKind.ADDRESSES_UNREADABLE, NOON)
    assert alarm_text(alarm).title == "Client addresses cannot be read"
    a_receipt(event, address="192.0.2.1", received_at=NOON + minutes(3))
    evaluate_alarms(NOON + minutes(59))
    alarm.refresh_from_db()
    assert alarm.ended_at is None
    evaluate_alarms(NOON + minutes(61))
    alarm.refresh_from_db()
    assert alarm.ended_at is not None


@pytest.mark.django_db
@pytest.mark.parametrize("lost", ["is_active", "is_staff", "permission"])
def test_nobody_who_can_read_the_audit_log_raises_an_alarm(lost: str) -> None:
    """Also where no form of the console was used: the condition is what is stored."""
    evaluate_alarms(NOON)
    assert not Alarm.objects.exists(), "a hub without logins has nothing to watch over"
    reader = User.objects.create_user("reader", is_staff=True, last_login=NOON)
    reader.user_permissions.add(Permission.objects.get(codename="view_entry"))
    evaluate_alarms(NOON)
    assert not Alarm.objects.exists()
    if lost == "permission":
        reader.user_permissions.clear()
    else:
        User.objects.update(**{lost: False})
    evaluate_alarms(NOON + minutes(1))
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.began_at) == (AlarmKind.AUDIT_UNREAD, NOON + minutes(1))
    assert alarm_text(alarm).title == "Nobody can read the audit log"
    User.objects.create_superuser("root")
    evaluate_alarms(NOON + minutes(2))
    alarm.refresh_from_db()
    assert alarm.ended_at is not None


@pytest.mark.django_db
def test_many_failed_logins_raise_an_alarm_that_ends_when_they_stop(settings: Any) -> None:
    settings.ALARM_FAILED_LOGINS = 20
    count_failures(0, "203.0.113.1", wrong=10, at=NOON)
    count_failures(0, "203.0.113.2", wrong=5, refused=4, at=NOON + minutes(1))
    evaluate_alarms(NOON + minutes(2))
    assert not Alarm.objects.exists()
    count_failures(0, "203.0.113.2", refused=1, at=NOON + minutes(3))
    evaluate_alarms(NOON + minutes(4))
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.count, alarm.began_at) == (AlarmKind.LOGINS_FAILING, 20, NOON)
    assert alarm_text(alarm).title == "20 failed logins"
    evaluate_alarms(NOON + minutes(19))
    alarm.refresh_from_db()
    assert alarm.ended_at is not None
    settings.ALARM_FAILED_LOGINS = 0
    count_failures(0, "203.0.113.1", wrong=10_000, at=NOON + minutes(20))
    evaluate_alarms(NOON + minutes(21))
    assert Alarm.objects.count() == 1, "without a limit there is no alarm"
