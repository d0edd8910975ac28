"""What the night takes away, and what it leaves."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync import cleaning
from sync.cleaning import clean
from sync.clock import read_clock
from sync.models import Alarm, Telling
from webhooks.models import Refusal
from webhooks.models.pace import Pace

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
    assert clean() == 1
    assert [each.session_key for each in Session.objects.all()] == ["live"]


def test_refusals_go_beyond_their_number_and_their_age(settings: Any) -> None:
    settings.REFUSALS_KEPT = 4
    refusals(2, 91 * DAY)
    recent = refusals(3, 89 * DAY)
    assert clean() == 2
    assert set(Refusal.objects.values_list("pk", flat=True)) == set(recent)
    newest = refusals(3, DAY)
    clean()
    assert set(Refusal.objects.values_list("pk", flat=True)) == {recent[-1], *newest}


def test_alarms_go_with_what_was_told_of_them_ninety_days_after_they_ended() -> None:
    alarm("source:1", 91 * DAY)
    kept = [alarm("source:2", 89 * DAY), alarm("source:3", None)]
    assert clean() == 1
    assert list(Alarm.objects.order_by("pk")) == kept
    assert Telling.objects.count() == 2


def test_paces_go_when_nobody_went_for_a_day() -> None:
    now = read_clock()
    for key, age in (("source:1", 2 * DAY), ("source:2", DAY / 2), ("connection:1", -timedelta(seconds=4))):
        Pace.objects.create(key=key, free_at=now - age)
    assert clean() == 1
    assert set(Pace.objects.values_list("key", flat=True)) == {"source:2", "connection:1"}


def test_it_goes_in_small_steps_and_leaves_the_rest_to_the_next_night(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cleaning, "BATCH", 2)
    monkeypatch.setattr(cleaning, "MOST_BATCHES", 3)
    sessions(**{f"s{number}": DAY for number in range(9)})
    with CaptureQueriesContext(connection) as captured:
        assert clean() == 6
    deletions = [each["sql"] for each in captured if each["sql"].startswith('DELETE FROM "django_session"')]
    assert len(deletions) == 3
    assert clean() == 3


def test_nothing_is_left_to_do_on_the_second_time() -> None:
    sessions(expired=DAY)
    assert [clean(), clean()] == [1, 0]
