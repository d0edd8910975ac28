"""A record that refers to the records of other entities waits for them, and never gets another entity's record.

The stand-in shop refuses an unknown customer id, so a wrong reference fails at the target too.
"""

from typing import Any

import pytest
from django.utils import timezone

from sync.execution.executor import run_due_deliveries
from sync.models import Delivery, Link, MissingReference
from sync.rechecks.due_rechecks import run_rechecks
from sync.references import missing_references
from tests.support.builders.references import (
    LEAVE_OUT,
    MANAGER,
    MEMBERS,
    OWNER,
    add_group,
    add_user,
    change_members,
    customer_id,
    delivery_of,
    end_wait_of,
    members_of,
    record_of,
    run_again,
    set_field,
    tell,
    waits_for,
)
from tests.support.hub import ANNA, Hub
from webhooks.models import State


def test_a_group_waits_for_its_members_and_is_woken_by_the_last_one(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS)
    add_user(hub, "BEA")
    add_group(hub, "TEAM", [ANNA, "BEA"])
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"
    waiting_delivery = delivery_of("TEAM")
    assert (waiting_delivery.state, waiting_delivery.attempts_used) == (State.RETRYING, 0)
    assert waits_for() == [("TEAM", "BEA"), ("TEAM", ANNA)]
    assert hub.writes() == []
    Delivery.objects.filter(pk=waiting_delivery.pk).update(
        due_at=timezone.now() + timezone.timedelta(hours=1)
    )
    before = timezone.now()
    tell(hub, "USER", ANNA)
    # Two members may arrive at the same moment: the group looks again soon, whatever comes.
    soon = delivery_of("TEAM").due_at
    assert soon is not None
    partly = timezone.timedelta(seconds=missing_references.PARTLY_SECONDS)
    assert before + partly <= soon <= timezone.now() + partly
    assert waits_for() == [("TEAM", "BEA")]
    tell(hub, "USER", "BEA")
    woken = delivery_of("TEAM")
    assert woken.due_at is None or woken.due_at <= timezone.now()
    hub.wait_until_quiet()
    if delivery_of("TEAM").state == State.RETRYING:
        run_again("TEAM")
    assert delivery_of("TEAM").state == State.SUCCEEDED
    assert members_of(hub, "TEAM") == [customer_id(hub, ANNA), customer_id(hub, "BEA")]
    assert waits_for() == []


def test_an_owner_is_one_reference_in_an_expression(hub: Hub) -> None:
    set_field("FILE", "owner_id", OWNER)
    hub.identity.directory.create_record("files", {"id": "PLAN", "name": "Plan", "ownerId": ANNA})
    assert tell(hub, "FILE", "PLAN") == "reference-missing"
    tell(hub, "USER", ANNA)
    assert run_again("PLAN") == "succeeded"
    record = record_of(hub, "documents", "PLAN")
    assert record is not None
    assert record["owner_id"] == customer_id(hub, ANNA)


def test_a_record_that_never_comes_ends_the_delivery_and_a_replay_waits_again(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS)
    add_group(hub, "TEAM", ["NOBODY"])
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"
    for _ in range(9):
        # Waiting uses no attempt, however often it looks.
        assert run_again("TEAM") == "reference-missing"
    assert delivery_of("TEAM").state == State.RETRYING
    end_wait_of("TEAM")
    assert run_again("TEAM") == "reference-missing"
    assert delivery_of("TEAM").state == State.DEAD
    assert waits_for() == []
    assert hub.writes() == []


def test_only_the_missing_member_or_field_is_left_out(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS | LEAVE_OUT)
    set_field("FILE", "owner_id", OWNER | LEAVE_OUT)
    tell(hub, "USER", ANNA)
    add_group(hub, "TEAM", ["NOBODY", ANNA])
    hub.identity.directory.create_record("files", {"id": "PLAN", "name": "Plan", "ownerId": "NOBODY"})
    assert (tell(hub, "GROUP", "TEAM"), tell(hub, "FILE", "PLAN")) == ("reference-missing",) * 2
    for key in ("TEAM", "PLAN"):
        end_wait_of(key)
        assert run_again(key) == "succeeded"
    assert members_of(hub, "TEAM") == [customer_id(hub, ANNA)]
    assert record_of(hub, "documents", "PLAN")["owner_id"] is None  # type: ignore[index]
    (sent,) = [change for change in hub.writes() if "documents" in change["path"]]
    assert "owner_id" not in sent["body"]


def test_two_entities_that_wait_for_each_other_end_when_one_may_be_left_out(hub: Hub) -> None:
    set_field("USER", "phone", MANAGER | LEAVE_OUT)
    add_user(hub, "ADA", managerId="BOB")
    add_user(hub, "BOB", managerId="ADA")
    assert (tell(hub, "USER", "ADA"), tell(hub, "USER", "BOB")) == ("reference-missing",) * 2
    assert waits_for() == [("ADA", "BOB"), ("BOB", "ADA")]
    end_wait_of("ADA")
    # Its record is made without the manager, and wakes the other one, which gets its own.
    assert run_again("ADA") == "succeeded"
    hub.wait_until_quiet()
    if delivery_of("BOB").state == State.RETRYING:
        run_again("BOB")
    assert delivery_of("BOB").state == State.SUCCEEDED
    assert record_of(hub, "customers", "BOB")["phone"] == customer_id(hub, "ADA")  # type: ignore[index]
    # The other record has arrived: a re-check completes the first one.
    assert record_of(hub, "customers", "ADA")["phone"] is None  # type: ignore[index]
    assert run_rechecks() == 1
    run_due_deliveries()
    hub.wait_until_quiet()
    assert record_of(hub, "customers", "ADA")["phone"] == customer_id(hub, "BOB")  # type: ignore[index]


def test_a_thousand_references_are_resolved_and_one_more_is_refused(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS)
    many = [f"U{number:04}" for number in range(1_001)]
    add_group(hub, "CROWD", many)
    assert tell(hub, "GROUP", "CROWD") == "too-many-references"
    assert delivery_of("CROWD").state == State.DEAD
    change_members(hub, "CROWD", many[:1_000])
    assert tell(hub, "GROUP", "CROWD") == "reference-missing"
    assert MissingReference.objects.count() == 1_000


def test_a_record_is_never_found_by_a_value(hub: Hub) -> None:
    """The shop has a customer with the external id of this user, but the hub has not linked it."""
    set_field("GROUP", "members", MEMBERS)
    assert hub.customer(ANNA) is not None
    add_group(hub, "TEAM", [ANNA])
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"


@pytest.mark.parametrize(
    "other",
    [{"entity_type": "GROUP"}, {"record_id": ""}, {"entity_id": f"{ANNA}X"}, "identity", "target"],
)
def test_only_the_link_of_that_very_entity_counts(hub: Hub, other: Any) -> None:
    """Another type, a deleted record, another id, another identity service, another target."""
    set_field("GROUP", "members", MEMBERS)
    tell(hub, "USER", ANNA)
    link = Link.objects.get(entity_id=ANNA)
    if isinstance(other, str):
        connection = getattr(link, other)
        connection.pk, connection.slug = None, "another"
        connection.save(force_insert=True)
        other = {other: connection}
    Link.objects.filter(pk=link.pk).update(**other)
    add_group(hub, "TEAM", [ANNA])
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"
