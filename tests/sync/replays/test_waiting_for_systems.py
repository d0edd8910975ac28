"""A bulk replay that sends only while both systems answer, and a selection of which a part is sent.

Holds what no other test does: nothing is sent behind an open circuit breaker, and what is left can be sent later.
"""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync.models import Breaker, Connection, PersonRequestState, ReplayPace
from sync.replays.event_selection import leave_rest
from tests.support.builders.bulk_replays import (
    fail_customers,
    freeze_event_set,
    member_states,
    staff_user,
    start_bulk_replay,
    work_replay,
)
from tests.support.hub import Hub
from tests.support.jobs import run_jobs

pytestmark = pytest.mark.submission


@pytest.mark.parametrize("side", ["target", "identity"])
def test_events_are_sent_once_the_system_answers_again(hub: Hub, hurry: None, side: str) -> None:
    fail_customers(hub, 3)
    connection = Connection.objects.get(side=side)
    breaker = Breaker.objects.create(connection=connection, open_until=timezone.now() + timedelta(hours=1))
    replay = start_bulk_replay(staff_user(), pace=ReplayPace.ANSWERED)
    run_jobs("replay")
    replay.refresh_from_db()
    assert (replay.state, replay.events) == (PersonRequestState.RUNNING, 0)
    # As a probe that was answered leaves it: half-open.
    Breaker.objects.filter(pk=breaker.pk).update(open_until=timezone.now() - timedelta(seconds=1))
    replay = work_replay(replay)
    assert (replay.succeeded, replay.failed) == (3, 0)


def test_nothing_is_sent_while_a_person_has_paused_the_connection(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 1)
    Connection.objects.filter(slug="shop").update(paused_at=timezone.now())
    replay = start_bulk_replay(staff_user(), pace=ReplayPace.ANSWERED)
    run_jobs("replay")
    replay.refresh_from_db()
    assert replay.events == 0
    Connection.objects.filter(slug="shop").update(paused_at=None)
    assert work_replay(replay).succeeded == 1


def test_a_part_of_a_selection_is_sent_and_the_rest_is_left(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 3)
    by = staff_user()
    replay = freeze_event_set(by)
    leave_rest(replay, 2)
    leave_rest(replay, 2)  # changes nothing
    assert (replay.total, replay.waiting_count) == (3, 2)
    replay = work_replay(start_bulk_replay(by, replay, approval_limit=2))
    assert member_states(replay) == {
        "PERSON0": "succeeded",
        "PERSON1": "succeeded",
        "PERSON2": "skipped: later",
    }
