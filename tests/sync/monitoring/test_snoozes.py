"""Snoozed alarms: no message is sent before the snooze ends, and none is lost."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from sync.models import Alarm, Notification, Snooze
from sync.monitoring.alarms import evaluate_alarms, snooze_alarm
from tests.support.builders.alarms import PEOPLE, a_silence_alarm, alarm_entries, minutes, receive_event
from tests.support.builders.history import NOON
from webhooks.models import Source

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
QUIET_UNTIL = NOON + minutes(120)


@pytest.fixture(autouse=True)
def _mail(settings: Any) -> None:
    settings.ALARM_EMAILS = PEOPLE


def titles(mailoutbox: list[Any]) -> list[str]:
    return [mail.subject.removeprefix("[Integration Hub] ") for mail in mailoutbox]


def snooze(alarm: Alarm) -> bool:
    person, _ = User.objects.get_or_create(username="anna")
    return snooze_alarm(alarm, QUIET_UNTIL, by=person, reason="planned work", at=NOON + minutes(32))


def test_an_alarm_that_is_still_active_after_the_snooze_is_sent_once_more(mailoutbox: list[Any]) -> None:
    snooze(a_silence_alarm())
    for at in (QUIET_UNTIL - SECOND, QUIET_UNTIL, QUIET_UNTIL + SECOND):
        evaluate_alarms(at)
        expected = [] if at < QUIET_UNTIL else ["Still: Aurora is silent"]
        assert titles(mailoutbox) == ["Aurora is silent", *expected]
    assert Alarm.objects.get().snoozed_until is None


def test_an_end_during_the_snooze_is_sent_after_it(mailoutbox: list[Any]) -> None:
    snooze(a_silence_alarm())
    receive_event(Source.objects.get(), NOON + minutes(60))
    evaluate_alarms(NOON + minutes(61))
    assert Alarm.objects.get().ended_at == NOON + minutes(61)
    assert titles(mailoutbox) == ["Aurora is silent"]
    receive_event(Source.objects.get(), QUIET_UNTIL)
    evaluate_alarms(QUIET_UNTIL)
    assert titles(mailoutbox) == ["Aurora is silent", "Ended: Aurora is silent"]


def test_an_alarm_that_returns_during_the_snooze_is_raised_and_sent_after_it(mailoutbox: list[Any]) -> None:
    snooze(a_silence_alarm())
    receive_event(Source.objects.get(), NOON + minutes(60))
    for number in (61, 95):
        evaluate_alarms(NOON + minutes(number))
    again = Alarm.objects.get(ended_at=None)
    assert (again.raised_at, again.snoozed_until) == (NOON + minutes(95), QUIET_UNTIL)
    assert titles(mailoutbox) == ["Aurora is silent"]
    evaluate_alarms(QUIET_UNTIL)
    assert titles(mailoutbox)[1:] == ["Ended: Aurora is silent", "Aurora is silent"]


def test_an_alarm_that_begins_and_ends_during_a_snooze_is_not_sent(mailoutbox: list[Any]) -> None:
    snooze(a_silence_alarm())
    receive_event(Source.objects.get(), NOON + minutes(60))
    evaluate_alarms(NOON + minutes(61))
    evaluate_alarms(NOON + minutes(95))
    receive_event(Source.objects.get(), NOON + minutes(100))
    evaluate_alarms(NOON + minutes(101))
    assert Alarm.objects.filter(ended_at__isnull=False).count() == 2
    evaluate_alarms(QUIET_UNTIL)
    assert titles(mailoutbox) == ["Aurora is silent", "Ended: Aurora is silent"]
    assert not Notification.objects.filter(state="waiting").exists()


def test_only_an_open_alarm_can_be_snoozed() -> None:
    alarm = a_silence_alarm()
    Alarm.objects.update(ended_at=NOON + minutes(31))
    assert snooze(alarm) is False
    assert not Snooze.objects.exists()
    assert [action for action, _ in alarm_entries()] == ["alarm.raised"]
