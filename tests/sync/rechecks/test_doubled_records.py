"""A creation whose answer never came may have made a record: a second one is prevented, or found and reported."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sync.execution.executor import run_due_deliveries
from sync.models import Call, Delivery, Link, Recheck
from sync.rechecks.due_rechecks import run_rechecks
from sync.rechecks.recheck_results import record_results
from sync.replays.requests import request_replay
from tests.support.builders.bulk_replays import staff_user
from tests.support.hub import Hub
from webhooks.models import Event, State

GROUP = "GROUP9"


@pytest.fixture(autouse=True)
def _group(hub: Hub) -> None:
    """Create a group. The shop allows two segments of one name."""
    hub.identity.directory.create_record("groups", {"id": GROUP, "name": "Regulars", "members": []})


def post_event(hub: Hub, event_type: str = "CREATE") -> dict[str, Any]:
    answer = hub.post_signed({"id": GROUP, "entityType": "GROUP", "eventType": event_type})
    hub.wait_until_quiet()
    return dict(answer.json())


def create_without_answer(hub: Hub) -> None:
    """Post a creation to which the shop does not answer."""
    hub.shop.faults.add("drop", methods=["POST"], times=1)
    assert post_event(hub)["code"] == "target-unavailable"


def segments(hub: Hub) -> list[str]:
    """Return the ids of the group's records."""
    return [str(one["id"]) for one in hub.shop.list_records("segments") if one["external_id"] == GROUP]


def retry_now(hub: Hub) -> None:
    Delivery.objects.filter(state=State.RETRYING).update(due_at=timezone.now() - timedelta(seconds=1))
    run_due_deliveries()
    hub.wait_until_quiet()


def run_check_now(hub: Hub) -> Delivery:
    """Run the next re-check. Returns the newest delivery."""
    Recheck.objects.exclude(due_at=None).update(due_at=timezone.now() - timedelta(seconds=1))
    run_rechecks()
    run_due_deliveries()
    hub.wait_until_quiet()
    record_results()
    return Delivery.objects.order_by("-pk")[0]


@pytest.mark.promise("I8")
def test_a_creation_that_is_sent_again_makes_one_record(hub: Hub) -> None:
    """Both have one key, by which the shop knows that they are one creation."""
    create_without_answer(hub)
    retry_now(hub)
    assert Delivery.objects.get().state == State.SUCCEEDED
    assert len(segments(hub)) == 1
    first, again = Call.objects.filter(purpose="create").order_by("pk").values_list("key", flat=True)
    assert first == again


@pytest.mark.submission
@pytest.mark.parametrize("fault", ["error", "refuse"])
def test_a_creation_that_was_answered_gets_a_new_key(hub: Hub, fault: str) -> None:
    """A target repeats its answer to a key, so a creation that it answered with an error would fail for ever."""
    hub.shop.faults.add(fault, methods=["POST"], times=1)
    post_event(hub)
    assert post_event(hub, "UPDATE")["status"] == "succeeded"
    assert len(set(Call.objects.filter(purpose="create").values_list("key", flat=True))) == 2


def test_a_second_record_of_an_entity_is_reported_by_a_recheck(hub: Hub) -> None:
    """The shop makes one record late, after the hub has sent a newer creation."""
    create_without_answer(hub)
    hub.identity.directory.update_record("groups", GROUP, {"name": "Members"}, replaces=False)
    assert post_event(hub, "UPDATE")["status"] == "succeeded"
    hub.shop.catalogue.create_record("segments", {"name": "Regulars", "external_id": GROUP})
    first, second = segments(hub)
    delivery = run_check_now(hub)
    assert (delivery.state, delivery.code) == (State.DEAD, "ambiguous-match")
    assert Event.objects.order_by("-pk")[0].state == State.DEAD
    linked = Link.objects.get(entity_id=GROUP).record_id
    hub.shop.catalogue.delete_record("segments", second if linked == first else first)
    request_replay([delivery.event], by=staff_user(), reason="the owner deleted the second one")
    run_due_deliveries()
    hub.wait_until_quiet()
    assert Event.objects.order_by("-pk")[0].state == State.UNCHANGED
