"""A record that refers to a record which was replaced gets the new id, without another webhook."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sync.attempts import delivery_run
from sync.models import Attempt, AwaitedRecord, Delivery, Link, RecordReference
from sync.references import missing_references, record_references
from sync.references.missing_references import schedule_all_arrived
from tests.support.builders.references import (
    MEMBERS,
    add_group,
    add_user,
    change_members,
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
from webhooks.models import State


def complete_group(hub: Hub, *members: str, key: str = "TEAM") -> None:
    """Deliver these users, then a group of them."""
    set_field("GROUP", "members", MEMBERS)
    for member in members:
        if member != ANNA and record_of(hub, "customers", member) is None:
            add_user(hub, member)
        assert tell(hub, "USER", member) == "done"
    add_group(hub, key, list(members))
    assert tell(hub, "GROUP", key) == "done"
    assert members_of(hub, key) == [customer_id(hub, member) for member in members]


def replace_record(hub: Hub, key: str = ANNA) -> str:
    """Delete a user's record in the shop; the next webhook of the user creates another. Returns the new id."""
    old = customer_id(hub, key)
    hub.shop.store.delete_record("customers", old)
    assert tell(hub, "USER", key) == "done"
    assert customer_id(hub, key) != old
    return customer_id(hub, key)


def test_a_group_gets_the_new_record_of_its_member(hub: Hub) -> None:
    complete_group(hub, ANNA, "BEA")
    new = replace_record(hub)
    [due] = AwaitedRecord.objects.all()
    assert (due.delivery_id, due.entity_id) == (delivery_of("TEAM").pk, ANNA)
    assert run_rounds(hub) == 1
    assert members_of(hub) == [new, customer_id(hub, "BEA")]
    assert Attempt.objects.filter(delivery=delivery_of("TEAM")).latest("number").cause == "recheck"
    assert (run_rounds(hub), schedule_all_arrived(), waits_for()) == (0, 0, [])


@pytest.mark.submission
def test_a_lost_wake_up_is_found_later(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process had ended after the commit of the member's new link."""
    complete_group(hub, ANNA)
    monkeypatch.setattr(delivery_run, "schedule_referring", lambda _: None)
    new = replace_record(hub)
    assert run_rounds(hub) == 0
    assert (schedule_all_arrived(), schedule_all_arrived()) == (1, 0)
    assert run_rounds(hub) == 1
    assert members_of(hub) == [new]


@pytest.mark.submission
def test_one_record_makes_a_bounded_number_due_and_the_rest_follows(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_references, "MAX_REPLACED", 1)
    monkeypatch.setattr(missing_references, "SLICE_SIZE", 1)
    for key in ("ONE", "TWO", "THREE"):
        complete_group(hub, ANNA, key=key)
    new = replace_record(hub)
    assert AwaitedRecord.objects.count() == 1
    assert schedule_all_arrived() == 2
    assert run_rounds(hub) == 3
    assert [members_of(hub, key) for key in ("ONE", "TWO", "THREE")] == [[new]] * 3


@pytest.mark.submission
def test_members_that_are_replaced_together_are_sent_once(hub: Hub) -> None:
    complete_group(hub, ANNA, "BEA")
    before = timezone.now()
    expected = [replace_record(hub), replace_record(hub, "BEA")]
    due = AwaitedRecord.objects.earliest("due_at").due_at
    assert due is not None
    delay = timedelta(seconds=record_references.CHECK_AFTER_SECONDS)
    assert before + delay <= due <= timezone.now() + delay
    assert run_rounds(hub) == 1
    assert members_of(hub) == expected


@pytest.mark.submission
def test_a_member_that_left_makes_nothing_due(hub: Hub) -> None:
    complete_group(hub, ANNA, "BEA")
    change_members(hub, "TEAM", ["BEA"])
    tell(hub, "GROUP", "TEAM")
    assert list(RecordReference.objects.values_list("entity_id", flat=True)) == ["BEA"]
    replace_record(hub)
    assert AwaitedRecord.objects.count() == 0


@pytest.mark.submission
@pytest.mark.parametrize(
    ("state", "makes_due"), [(State.HELD, False), (State.RETRYING, False), (State.DEAD, True)]
)
def test_an_open_delivery_of_the_group_is_left_to_write_the_new_id(
    hub: Hub, state: State, makes_due: bool
) -> None:
    """It may have read the old id: then the reference is found once the delivery has ended."""
    complete_group(hub, ANNA)
    tell(hub, "GROUP", "TEAM")
    newest = Delivery.objects.filter(pk=delivery_of("TEAM").pk)
    newest.update(state=state, settled_at=timezone.now() if makes_due else None)
    new = replace_record(hub)
    assert AwaitedRecord.objects.exists() == makes_due
    newest.update(state=State.SUCCEEDED, settled_at=timezone.now())
    schedule_all_arrived()
    assert run_rounds(hub) == 1
    assert members_of(hub) == [new]


def settle_late(monkeypatch: pytest.MonkeyPatch, before: Callable[[], Any]) -> None:
    """Let something happen once, after the group's attempt has read the links and before it is settled."""
    settle, happenings = delivery_run.settle_attempt, [before]

    def settle_then(claim: Any, *rest: Any) -> Any:
        if claim.delivery.entity_id == "TEAM" and happenings:
            happenings.pop()()
        return settle(claim, *rest)

    monkeypatch.setattr(delivery_run, "settle_attempt", settle_then)


@pytest.mark.submission
def test_a_record_that_is_replaced_during_the_attempt_is_found(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete_group(hub, ANNA)
    add_user(hub, "BEA")
    tell(hub, "USER", "BEA")

    def replace() -> None:
        Link.objects.filter(entity_id=ANNA).update(record_id=customer_id(hub, "BEA"))
        missing_references.schedule_referring(delivery_of(ANNA))
        assert AwaitedRecord.objects.count() == 0

    settle_late(monkeypatch, replace)
    tell(hub, "GROUP", "TEAM")
    assert schedule_all_arrived() == 1
    assert run_rounds(hub) == 1
    assert members_of(hub) == [customer_id(hub, "BEA")]


@pytest.mark.submission
def test_references_without_a_delivery_are_deleted(hub: Hub) -> None:
    """Its event is too old: nothing can be delivered again."""
    complete_group(hub, ANNA)
    Link.objects.filter(entity_id="TEAM").update(entity_id="OTHER")
    replace_record(hub)
    assert (AwaitedRecord.objects.count(), RecordReference.objects.count()) == (0, 0)


@pytest.mark.submission
def test_a_deleted_record_refers_to_nothing(hub: Hub) -> None:
    complete_group(hub, ANNA)
    Link.objects.filter(entity_id="TEAM").update(record_id="")
    replace_record(hub)
    assert (AwaitedRecord.objects.count(), schedule_all_arrived()) == (0, 0)
