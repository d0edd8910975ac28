"""Bulk replays make way for other work, and do not wait for blocked events."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.entries.acting_person import ActingPerson
from sync.models import Breaker, Delivery, ReplayState
from sync.replays.decisions import pause_replay
from sync.replays.event_selection import select_events
from tests.support.builders.bulk_replays import (
    create_person,
    fail_customers,
    record_all_results,
    send_all_due,
    send_webhook,
    staff_user,
    start_bulk_replay,
    work_replay,
)
from tests.support.hub import Hub
from webhooks.models import State

pytestmark = pytest.mark.usefixtures("hurry")


def wait_for_retry(seconds: int, delivery: Delivery, **values: object) -> None:
    """Let a delivery wait for a retry that is due since then; a negative time is still to come."""
    at = timezone.now() - timedelta(seconds=seconds)
    Delivery.objects.filter(pk=delivery.pk).update(state=State.RETRYING, settled_at=None, due_at=at, **values)


def settled_delivery(hub: Hub, user: str) -> Delivery:
    """Return the settled delivery of a webhook about a user."""
    delivery = send_webhook(hub, user).deliveries.get()
    hub.wait_until_quiet()  # a thread that has just answered looks for what is next
    return delivery


def test_a_paused_replay_does_not_block_a_later_one(hub: Hub) -> None:
    first, second = fail_customers(hub, 2)
    by = staff_user()
    left = start_bulk_replay(by, select_events(by, [first.pk]))
    assert pause_replay(left, ActingPerson(by))
    later = start_bulk_replay(by, select_events(by, [second.pk]))
    assert send_all_due() == 1
    hub.wait_until_idle()
    assert record_all_results() == 1
    later.refresh_from_db()
    assert (later.state, later.succeeded) == (ReplayState.FINISHED, 1)


def test_a_relayed_event_behind_a_retried_one_does_not_block_a_replay(hub: Hub) -> None:
    events = fail_customers(hub, 2)
    user = create_person(hub, "FRESH")
    older, newer = settled_delivery(hub, user), settled_delivery(hub, user)
    wait_for_retry(-2400, older, is_relayed=True)
    wait_for_retry(5, newer, is_relayed=True)
    replay = start_bulk_replay(staff_user())
    assert send_all_due() == len(events)
    assert work_replay(replay).succeeded == 2


def test_events_for_a_paused_system_do_not_block_a_replay(hub: Hub) -> None:
    fail_customers(hub, 1)
    fresh = settled_delivery(hub, create_person(hub, "FRESH"))
    wait_for_retry(5, fresh)
    Breaker.objects.create(connection=fresh.identity, open_until=timezone.now() + timedelta(minutes=10))
    start_bulk_replay(staff_user())
    assert send_all_due() == 1
    hub.wait_until_quiet()
