"""A record that refers to the records of other entities waits for them, and never gets another entity's record.

The stand-in shop refuses an unknown customer id, so a wrong reference fails at the target too.
"""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sync.execution.executor import run_due_deliveries
from sync.models import AwaitedRecord, Delivery, Link
from sync.planning.references import Reference
from sync.rechecks.due_rechecks import run_rechecks
from sync.references import missing_references
from tests.support.builders.references import (
    LEAVE_OUT,
    MANAGER,
    MEMBERS,
    OWNER,
    add_group,
    add_user,
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
from tests.support.connections import copy_connection
from tests.support.hub import ANNA, Hub
from tests.support.threads import in_threads
from webhooks.models import State

pytestmark = pytest.mark.concurrent


def test_a_group_waits_for_its_members_and_is_woken_by_the_last_one(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS)
    add_user(hub, "BEA")
    add_group(hub, "TEAM", [ANNA, "BEA"])
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"
    waiting_delivery = delivery_of("TEAM")
    assert (waiting_delivery.state, waiting_delivery.attempts_used) == (State.RETRYING, 0)
    assert waits_for() == [("TEAM", "BEA"), ("TEAM", ANNA)]
    assert hub.writes() == []
    Delivery.objects.filter(pk=waiting_delivery.pk).update(due_at=timezone.now() + timedelta(hours=1))
    before = timezone.now()
    tell(hub, "USER", ANNA)
    # Two members may arrive at the same moment: the group looks again soon, whatever comes.
    soon = delivery_of("TEAM").due_at
    assert soon is not None
    partly = timedelta(seconds=missing_references.PARTLY_SECONDS)
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
    assert waits_for() == [("TEAM", "NOBODY")]
    assert hub.writes() == []


@pytest.mark.submission
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


@pytest.mark.submission
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


def test_a_record_is_never_found_by_a_value(hub: Hub) -> None:
    """The shop has a customer with the external id of this user, but the hub has not linked it."""
    set_field("GROUP", "members", MEMBERS)
    assert hub.customer(ANNA) is not None
    add_group(hub, "TEAM", [ANNA])
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"


@pytest.mark.submission
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
        other = {other: copy_connection(connection, "another")}
    Link.objects.filter(pk=link.pk).update(**other)
    add_group(hub, "TEAM", [ANNA])
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"


@pytest.fixture
def waiting_group(hub: Hub) -> Delivery:
    """A group whose next attempt is an hour away, and whose two members are linked but have woken nobody yet."""
    set_field("GROUP", "members", MEMBERS)
    for key in ("ADA", "BEA"):
        add_user(hub, key)
        assert tell(hub, "USER", key) == "done"
    linked = list(Link.objects.filter(entity_id__in=["ADA", "BEA"]))
    Link.objects.filter(pk__in=[link.pk for link in linked]).delete()
    add_group(hub, "TEAM", ["ADA", "BEA"])
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"
    Link.objects.bulk_create(linked)
    group = delivery_of("TEAM")
    Delivery.objects.filter(pk=group.pk).update(due_at=timezone.now() + timedelta(hours=1))
    return group


def seconds_until_due(group: Delivery) -> float:
    due_at = Delivery.objects.get(pk=group.pk).due_at
    assert due_at is not None
    return (due_at - timezone.now()).total_seconds()


@pytest.mark.submission
def test_a_group_is_due_soon_however_its_members_arrive(waiting_group: Delivery) -> None:
    in_threads(lambda number: missing_references.schedule_referring(delivery_of(("ADA", "BEA")[number])), 2)
    assert seconds_until_due(waiting_group) <= missing_references.PARTLY_SECONDS


@pytest.mark.submission
def test_a_failed_wake_up_does_not_fail_the_delivery(
    waiting_group: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise missing_references.DatabaseError("gone")

    monkeypatch.setattr(missing_references, "_schedule_in_transaction", fail)
    missing_references.schedule_referring(delivery_of("ADA"))
    assert seconds_until_due(waiting_group) > 3000


@pytest.mark.submission
def test_a_delivery_that_ends_while_it_is_woken_is_remembered(
    waiting_group: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked for the record before the link was there, left it out, and has not looked again yet."""
    split_by_completeness = missing_references._split_by_completeness

    def end_meanwhile(*args: Any) -> Any:
        if not AwaitedRecord.objects.exclude(pk__in=before).exists():
            missing = {Reference(row.entity_type, row.entity_id): "" for row in AwaitedRecord.objects.all()}
            missing_references.store_missing(waiting_group, missing, replaces_earlier=True)
            Delivery.objects.filter(pk=waiting_group.pk).update(state=State.SUCCEEDED, code="succeeded")
        return split_by_completeness(*args)

    before = list(AwaitedRecord.objects.values_list("pk", flat=True))
    monkeypatch.setattr(missing_references, "_split_by_completeness", end_meanwhile)
    missing_references.schedule_referring(delivery_of("ADA"))
    missing_references.schedule_arrived(waiting_group.pk)
    assert AwaitedRecord.objects.filter(entity_id="ADA", due_at__isnull=False).exists()
