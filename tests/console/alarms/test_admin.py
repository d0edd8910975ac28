"""The alarm pages: active alarms first, the figures above them, and snoozing with permission and reason."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from console.alarms.snooze import next_monday
from database.clock import read_clock
from sync.models import Alarm, AlarmKind, Notification, Snooze
from tests.support.builders.alarms import (
    a_late_delivery,
    a_paused_connection,
    a_watched_source,
    alarm_entries,
    minutes,
)
from tests.support.builders.history import NOON, an_event
from tests.support.pages import text_of, visible_text

pytestmark = pytest.mark.django_db
LIST = "/admin/sync/alarm/"
SNOOZE = f"{LIST}snooze/"
WHY = {"length": "shift", "reason": "  planned   work "}


def browser(*permissions: str) -> Client:
    """Return the client of a staff member with these permissions."""
    user = User.objects.create_user(f"someone-{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def support() -> Client:
    return browser("view_alarm", "snooze_alarm")


def alarm(**values: Any) -> Alarm:
    return Alarm.objects.create(
        **{"kind": AlarmKind.DELIVERIES_DEAD, "count": 3, "began_at": NOON, "raised_at": NOON} | values
    )


def listed(client: Client, query: str = "") -> list[Alarm]:
    return [row.alarm for row in client.get(LIST + query).context["cl"].result_list]


def test_active_alarms_are_listed_before_ended_ones() -> None:
    over = alarm(ended_at=NOON + minutes(9))
    longer_over = alarm(ended_at=NOON + minutes(5))
    first = alarm(raised_at=NOON - minutes(60))
    latest = alarm(kind=AlarmKind.DELIVERIES_HELD)
    assert listed(support()) == [latest, first, over, longer_over]
    assert listed(support(), "?when=now") == [latest, first]
    assert listed(support(), "?kind=deliveries-dead&when=over") == [over, longer_over]


def test_the_list_shows_the_figures_that_alarms_are_evaluated_on() -> None:
    now = read_clock()
    a_late_delivery(now - minutes(10))
    for number in range(1, 4):
        an_event(number, state="dead")
    a_watched_source("Borealis", last_event_at=now - minutes(31))
    a_paused_connection(now - minutes(6), now + minutes(1), slug="other")
    text = visible_text(support().get(LIST))
    for shown in (
        "Queued 1 ",
        "Failed events 3 ",
        "Held for approval 0",
        "The shop since",
        "Aurora",
        "30 min ✕",
    ):
        assert shown in text, text


@pytest.mark.submission
def test_an_alarm_shows_the_problem_the_next_step_and_the_recipients() -> None:
    source = a_watched_source()
    open_alarm = alarm(
        kind=AlarmKind.SOURCE_SILENT, subject=f"source:{source.pk}", name="Aurora", limit_seconds=1800
    )
    Notification.objects.create(
        alarm=open_alarm, channel="email", kind="raised", state="sent", due_at=NOON, sent_at=NOON
    )
    Notification.objects.create(
        alarm=open_alarm,
        channel="webhook",
        kind="raised",
        attempts=4,
        due_at=NOON,
        failure="answered <b>500</b>",
    )
    answer = support().get(f"{LIST}{open_alarm.pk}/change/")
    text = visible_text(answer)
    for shown in ("Aurora", "30 minutes", "e-mail", "4 attempts answered &lt;b&gt;500&lt;/b&gt;", "Snooze…"):
        assert shown in text, text
    may_see = browser("view_alarm", "view_source").get(f"{LIST}{open_alarm.pk}/change/").content.decode()
    assert f'href="/admin/webhooks/source/{source.pk}/change/">Open the source' in may_see


def test_an_alarm_is_read_only_and_hidden_without_permission() -> None:
    open_alarm = alarm()
    superuser = Client()
    superuser.force_login(User.objects.create_superuser("root"))
    for address in (f"{LIST}{open_alarm.pk}/delete/", f"{LIST}add/"):
        assert superuser.post(address, {"count": 9}).status_code == 403
    assert superuser.post(f"{LIST}{open_alarm.pk}/change/", {"count": 9}).status_code == 405
    stranger = browser("view_event")
    assert [stranger.get(address).status_code for address in (LIST, SNOOZE)] == [403, 403]


def test_an_alarm_is_snoozed_with_person_reason_and_duration() -> None:
    open_alarm, client = alarm(), support()
    before = timezone.now()
    answer = client.post(f"{SNOOZE}?alarm={open_alarm.pk}", WHY, follow=True, REMOTE_ADDR="192.0.2.9")
    assert answer.request["PATH_INFO"] == f"{LIST}{open_alarm.pk}/change/"
    snooze = Snooze.objects.get()
    assert timedelta(0) <= snooze.until - (before + timedelta(hours=8)) < minutes(1)
    assert (snooze.reason, snooze.requested_by) == ("planned work", User.objects.get())
    open_alarm.refresh_from_db()
    assert open_alarm.snoozed_until == snooze.until
    assert "planned work" in visible_text(answer)
    ((action, body),) = alarm_entries()
    assert (action, body["actor"]) == ("alarm.snoozed", f"person:{snooze.requested_by_id}")
    assert (body["details"]["snooze"], body["details"]["address"]) == (snooze.pk, "192.0.2.9")


def test_several_are_snoozed_at_once_from_the_list() -> None:
    open_ones = [alarm(), alarm(kind=AlarmKind.DELIVERIES_HELD)]
    over = alarm(ended_at=NOON)
    client = support()
    offered = re.findall(r'name="alarm" value="(\d+)"', text_of(client.get(LIST)))
    assert sorted(map(int, offered)) == [alarm.pk for alarm in open_ones], "an ended alarm has no checkbox"
    asked = f"{SNOOZE}?" + "&".join(f"alarm={alarm.pk}" for alarm in (*open_ones, over))
    client.post(asked, WHY | {"length": "hour"})
    assert Snooze.objects.count() == 2
    over.refresh_from_db()
    assert over.snoozed_until is None


def test_a_snooze_needs_a_duration_and_a_reason_and_the_button() -> None:
    open_alarm, client = alarm(), support()
    for form in ({}, {"length": "hour", "reason": "  "}, {"length": "year", "reason": "x"}, {"reason": "x"}):
        answer = client.post(f"{SNOOZE}?alarm={open_alarm.pk}", form)
        assert "errorlist" in answer.content.decode()
    client.get(f"{SNOOZE}?alarm={open_alarm.pk}&length=hour&reason=x")
    assert not Snooze.objects.exists()


@pytest.mark.submission
def test_an_alarm_links_to_the_page_to_act_on_if_permitted() -> None:
    open_alarm = alarm(kind=AlarmKind.DELIVERIES_HELD)
    leads = '<a data-open href="{}">3 events are held for approval</a>'
    there, here = "/admin/sync/delivery/", f"{LIST}{open_alarm.pk}/change/"
    may_act = browser("view_alarm", "view_delivery").get(LIST).content.decode()
    assert leads.format(there) in may_act
    assert f'href="{here}"' in may_act, "the recipients are on the alarm's own page"
    assert leads.format(here) in support().get(LIST).content.decode()
    Alarm.objects.update(ended_at=NOON + minutes(5))
    ended = browser("view_alarm", "view_delivery").get(LIST).content.decode()
    assert there not in ended.partition('id="content-start"')[2]


@pytest.mark.submission
def test_only_active_alarms_that_were_selected_are_snoozed() -> None:
    alarm(ended_at=NOON)
    client = support()
    for asked in (
        "",
        "?alarm=99",
        "?alarm=x",
        "?alarm=²",
        f"?alarm={'9' * 40}",
        f"?alarm={Alarm.objects.get().pk}",
    ):
        answer = client.post(SNOOZE + asked, WHY, follow=True)
        assert answer.redirect_chain
    assert not Snooze.objects.exists()


def test_until_monday_is_the_next_monday_morning() -> None:
    mondays = {
        datetime(2026, 3, 2, 5, 59, tzinfo=UTC): datetime(2026, 3, 2, 6, tzinfo=UTC),
        datetime(2026, 3, 2, 6, 0, tzinfo=UTC): datetime(2026, 3, 9, 6, tzinfo=UTC),
        datetime(2026, 3, 4, 12, 0, tzinfo=UTC): datetime(2026, 3, 9, 6, tzinfo=UTC),
        datetime(2026, 3, 8, 23, 59, tzinfo=UTC): datetime(2026, 3, 9, 6, tzinfo=UTC),
        datetime(2026, 12, 31, 9, 0, tzinfo=UTC): datetime(2027, 1, 4, 6, tzinfo=UTC),
    }
    assert {now: next_monday(now) for now in mondays} == mondays
