"""A record that was made without a reference is completed when the missing record arrives, without another webhook."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.models import Entry
from sync.attempts import delivery_run
from sync.housekeeping.batch_deletion import delete_events
from sync.models import Attempt, AwaitedRecord, Connection, Delivery, Link, Route
from sync.rechecks.due_completions import begin_due_completions
from sync.references import missing_references
from sync.references.missing_references import schedule_all_arrived
from tests.support.builders.references import (
    LEAVE_OUT,
    MANAGER,
    MEMBERS,
    add_group,
    add_user,
    customer_id,
    delivery_of,
    members_of,
    record_of,
    run_rounds,
    set_field,
    tell,
    waits_for,
)
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, State


def manager_of(hub: Hub, key: str) -> Any:
    record = record_of(hub, "customers", key)
    assert record is not None
    return record["phone"]


def incomplete_group(hub: Hub, *members: str) -> Delivery:
    """A group whose record lacks these members: they have no record yet."""
    set_field("GROUP", "members", MEMBERS | LEAVE_OUT, wait_minutes=0)
    for key in members:
        if key != ANNA:
            add_user(hub, key)
    add_group(hub, "TEAM", list(members))
    assert tell(hub, "GROUP", "TEAM") == "done"
    assert members_of(hub) == []
    return delivery_of("TEAM")


def test_a_member_that_arrives_completes_its_group(hub: Hub) -> None:
    group = incomplete_group(hub, ANNA)
    assert waits_for() == [("TEAM", ANNA)]
    assert tell(hub, "USER", ANNA) == "done"
    assert run_rounds(hub) == 1
    assert members_of(hub) == [customer_id(hub, ANNA)]
    completed = delivery_of("TEAM")
    assert (completed.pk, completed.state, completed.state_before_recheck) == (group.pk, State.SUCCEEDED, "")
    assert Attempt.objects.filter(delivery=group.pk).latest("number").cause == "recheck"
    assert Event.objects.get(entity_id="TEAM").state == State.SUCCEEDED
    assert '"cause":"recheck"' in Entry.objects.get(action="delivery.reopened").body
    assert waits_for() == []
    assert run_rounds(hub) == 0


@pytest.mark.submission
def test_a_cycle_of_references_is_completed_without_endless_deliveries(hub: Hub) -> None:
    set_field("USER", "phone", MANAGER | LEAVE_OUT, wait_minutes=0)
    add_user(hub, "ADA", managerId="BOB")
    add_user(hub, "BOB", managerId="ADA")
    assert (tell(hub, "USER", "ADA"), tell(hub, "USER", "BOB")) == ("done", "done")
    assert (manager_of(hub, "ADA"), manager_of(hub, "BOB")) == (None, customer_id(hub, "ADA"))
    assert run_rounds(hub, 5) == 1
    assert manager_of(hub, "ADA") == customer_id(hub, "BOB")
    assert (waits_for(), schedule_all_arrived()) == ([], 0)
    assert Attempt.objects.count() == 3


@pytest.mark.submission
def test_a_group_that_still_lacks_a_member_does_not_wait_for_it_again(hub: Hub) -> None:
    incomplete_group(hub, ANNA, "BEA")
    set_field("GROUP", "members", MEMBERS | LEAVE_OUT, wait_minutes=60)
    before = timezone.now()
    tell(hub, "USER", ANNA)
    soon = AwaitedRecord.objects.get(entity_id=ANNA).due_at
    assert soon is not None
    partly = timedelta(seconds=missing_references.PARTLY_SECONDS)
    assert before + partly <= soon <= timezone.now() + partly
    assert run_rounds(hub) == 1
    assert members_of(hub) == [customer_id(hub, ANNA)]
    assert (delivery_of("TEAM").state, waits_for()) == (State.SUCCEEDED, [("TEAM", "BEA")])
    tell(hub, "USER", "BEA")
    assert run_rounds(hub) == 1
    assert members_of(hub) == [customer_id(hub, ANNA), customer_id(hub, "BEA")]


def arrive_before_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Anna's record arrive after the group's attempt has looked for it, and before the attempt is settled."""
    settle: Callable[..., Any] = delivery_run.settle_attempt

    def settle_late(claim: Any, *rest: Any) -> Any:
        if claim.delivery.entity_id == "TEAM":
            Link.objects.filter(entity_id=f"{ANNA}-later").update(entity_id=ANNA)
        return settle(claim, *rest)

    monkeypatch.setattr(delivery_run, "settle_attempt", settle_late)


@pytest.mark.submission
def test_a_record_that_arrives_during_the_attempt_is_found(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    set_field("GROUP", "members", MEMBERS | LEAVE_OUT, wait_minutes=0)
    tell(hub, "USER", ANNA)
    Link.objects.filter(entity_id=ANNA).update(entity_id=f"{ANNA}-later")
    arrive_before_commit(monkeypatch)
    add_group(hub, "TEAM", [ANNA])
    tell(hub, "GROUP", "TEAM")
    assert run_rounds(hub) == 1
    assert members_of(hub) == [customer_id(hub, ANNA)]


@pytest.mark.submission
def test_only_the_newest_delivery_of_an_entity_is_remembered(hub: Hub) -> None:
    incomplete_group(hub, ANNA, "BEA")
    for _ in range(3):
        assert tell(hub, "GROUP", "TEAM") == "done"
    assert waits_for() == [("TEAM", "BEA"), ("TEAM", ANNA)]
    assert set(AwaitedRecord.objects.values_list("delivery", flat=True)) == {delivery_of("TEAM").pk}


def pause_route(_: Hub) -> None:
    Route.objects.filter(entity_type="GROUP").update(paused_at=timezone.now())


def disable_route(_: Hub) -> None:
    Route.objects.filter(entity_type="GROUP").update(is_enabled=False)


def disable_target(_: Hub) -> None:
    Connection.objects.filter(side="target").update(is_enabled=False)


def open_newer_delivery(_: Hub) -> None:
    Delivery.objects.filter(entity_id="TEAM").update(state=State.HELD, settled_at=None)


def make_due_later(_: Hub) -> None:
    AwaitedRecord.objects.update(due_at=F("due_at") + timedelta(hours=1))


@pytest.mark.submission
@pytest.mark.parametrize(
    "hinder", [pause_route, disable_route, disable_target, open_newer_delivery, make_due_later]
)
def test_a_group_is_not_completed_while_it_may_not_run(hub: Hub, hinder: Callable[[Hub], None]) -> None:
    incomplete_group(hub, ANNA)
    tell(hub, "USER", ANNA)
    hinder(hub)
    assert begin_due_completions() == []
    assert AwaitedRecord.objects.exclude(due_at=None).count() == 1


def close(group: Delivery) -> None:
    Delivery.objects.filter(pk=group.pk).update(state=State.CLOSED)


def relay_without_data(group: Delivery) -> None:
    Delivery.objects.filter(pk=group.pk).update(is_relayed=True)
    Event.objects.filter(pk=group.event_id).update(payload=None)


@pytest.mark.submission
@pytest.mark.parametrize("end", [close, relay_without_data])
def test_a_delivery_that_must_not_run_again_is_forgotten(hub: Hub, end: Callable[[Delivery], None]) -> None:
    group = incomplete_group(hub, ANNA)
    tell(hub, "USER", ANNA)
    end(group)
    assert begin_due_completions() == []
    assert waits_for() == []


def test_what_a_record_lacks_is_deleted_with_its_event(hub: Hub) -> None:
    group = incomplete_group(hub, ANNA)
    with transaction.atomic():
        delete_events([group.event_id])
    assert waits_for() == []


@pytest.mark.submission
def test_one_record_makes_a_bounded_number_due_and_the_rest_follows(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing_references, "MAX_WOKEN", 1)
    set_field("GROUP", "members", MEMBERS | LEAVE_OUT, wait_minutes=0)
    for key in ("ONE", "TWO"):
        add_group(hub, key, [ANNA])
        tell(hub, "GROUP", key)
    tell(hub, "USER", ANNA)
    assert AwaitedRecord.objects.exclude(due_at=None).count() == 1
    assert schedule_all_arrived() == 1
    assert len(begin_due_completions(limit=1)) == 1
    assert run_rounds(hub) == 1
    assert members_of(hub, "ONE") == members_of(hub, "TWO") == [customer_id(hub, ANNA)]
