"""A database with wrong or missing counts is counted again; a stopped run loses nothing."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from sync.models import EventCount
from sync.models.counts import HOUR, start_of_hour
from sync.statistics.full_recount import count_remaining_hours, recount_all_hours
from tests.support.builders.history import a_route, a_source, an_event


@pytest.fixture
def events(database: None) -> None:
    """Create one event in each of six hours, the oldest ten hours ago."""
    a_route(a_source())
    now = start_of_hour(timezone.now())
    for number, ago in enumerate((0, 1, 2, 3, 5, 10)):
        an_event(number, received_at=now - ago * HOUR + timedelta(seconds=1))


def counts() -> list[int]:
    return list(EventCount.objects.order_by("-hour").values_list("number", flat=True))


@pytest.mark.usefixtures("events")
def test_the_command_counts_everything_and_corrects_wrong_counts() -> None:
    out = StringIO()
    call_command("count_again", stdout=out)
    assert counts() == [1] * 6
    assert "All hours have been counted." in out.getvalue()
    EventCount.objects.update(number=99)
    call_command("count_again", "--resume", stdout=out)
    assert counts() == [99] * 6, "everything was counted already"
    call_command("count_again", stdout=out)
    assert counts() == [1] * 6


@pytest.mark.usefixtures("events")
def test_a_stopped_run_is_resumed() -> None:
    now = timezone.now()
    stopped = recount_all_hours(now)
    assert [next(stopped), next(stopped)] == [start_of_hour(now), start_of_hour(now) - HOUR]
    assert count_remaining_hours(now) == 9
    EventCount.objects.update(number=77)
    assert len(list(recount_all_hours(now, resumes=True))) == 9
    assert counts() == [77, 77, 1, 1, 1, 1], "what was counted before is not counted twice"
