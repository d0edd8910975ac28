"""What a bulk replay makes way for, and what it waits for nobody's sake."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync.models import Breaker, Delivery, ReplayState
from sync.replays.decisions import DecidingPerson, pause_replay
from sync.replays.event_selection import select_events
from tests.support.builders.bulk_replays import (
    a_user,
    failed_people,
    note_all_ends,
    send_due,
    staff,
    started,
    tell,
    work,
)
from tests.support.hub import Hub
from webhooks.models import State

pytestmark = pytest.mark.usefixtures("hurry")


def due_since(seconds: int, delivery: Delivery, **values: object) -> None:
    """It waits for its next try; fewer than no seconds: that is still to come."""
    at = timezone.now() - timedelta(seconds=seconds)
    Delivery.objects.filter(pk=delivery.pk).update(state=State.RETRYING, settled_at=None, due_at=at, **values)


def told_of(hub: Hub, user: str) -> Delivery:
    """The delivery of a webhook about somebody; settled, so that nothing runs."""
    delivery = tell(hub, user).deliveries.get()
    hub.wait_until_quiet()  # a thread that has just answered looks for what is next
    return delivery


def test_a_replay_that_was_left_paused_keeps_no_later_one_from_its_end(hub: Hub) -> None:
    first, second = failed_people(hub, 2)
    by = staff()
    left = started(by, select_events(by, [first.pk]))
    assert pause_replay(left, DecidingPerson(by))
    later = started(by, select_events(by, [second.pk]))
    assert send_due() == 1
    hub.wait_until_idle()
    assert note_all_ends() == 1
    later.refresh_from_db()
    assert (later.state, later.succeeded) == (ReplayState.FINISHED, 1)


def test_what_is_relayed_behind_an_older_one_that_is_tried_later_holds_no_replay_up(hub: Hub) -> None:
    events = failed_people(hub, 2)
    user = a_user(hub, "FRESH")
    older, newer = told_of(hub, user), told_of(hub, user)
    due_since(-2400, older, is_relayed=True)
    due_since(5, newer, is_relayed=True)
    replay = started(staff())
    assert send_due() == len(events)
    assert work(replay).succeeded == 2


def test_what_waits_for_a_system_that_is_left_alone_holds_no_replay_up(hub: Hub) -> None:
    failed_people(hub, 1)
    fresh = told_of(hub, a_user(hub, "FRESH"))
    due_since(5, fresh)
    Breaker.objects.create(connection=fresh.identity, open_until=timezone.now() + timedelta(minutes=10))
    started(staff())
    assert send_due() == 1
    hub.wait_until_quiet()
