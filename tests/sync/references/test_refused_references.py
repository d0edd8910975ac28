"""A delivery that failed for good because of a record that it refers to follows by itself when that record is new."""

import pytest

from audit.entries.acting_person import ActingPerson
from sync.models import AwaitedRecord, Connection, Delivery, Link
from sync.operations.relink_requests import apply_preview, newest_relinking, request_preview
from sync.references.missing_references import schedule_all_arrived
from tests.support.builders.bulk_replays import staff_user
from tests.support.builders.references import (
    MEMBERS,
    add_group,
    add_user,
    customer_id,
    delivery_of,
    end_wait_of,
    members_of,
    run_again,
    run_rounds,
    set_field,
    tell,
    waits_for,
)
from tests.support.changed_ids import change_ids, linked_ids
from tests.support.hub import ANNA, Hub
from tests.support.jobs import run_jobs
from webhooks.models import Event, State

PEOPLE = ["ADA", "BOB"]

pytestmark = pytest.mark.concurrent


def refused_group(hub: Hub) -> Delivery:
    """Return the delivery of a new group that names its members by numbers which the shop does not have any more."""
    set_field("GROUP", "members", MEMBERS)
    for user in PEOPLE:
        assert tell(hub, "USER", add_user(hub, user)) == "done"
    change_ids(hub, "import")
    add_group(hub, "TEAM", PEOPLE)
    assert tell(hub, "GROUP", "TEAM") == "target-rejected"
    assert delivery_of("TEAM").state == State.DEAD
    return delivery_of("TEAM")


def test_a_refused_group_follows_once_all_its_members_are_linked_anew(hub: Hub) -> None:
    group = refused_group(hub)
    assert waits_for() == [("TEAM", "ADA"), ("TEAM", "BOB")]
    # Nothing has changed: it would be refused again.
    assert (schedule_all_arrived(), run_rounds(hub)) == (0, 0)
    assert tell(hub, "USER", "ADA") == "done"
    assert (run_rounds(hub), delivery_of("TEAM").state) == (1, State.DEAD)
    assert tell(hub, "USER", "BOB") == "done"
    assert run_rounds(hub) == 1
    assert members_of(hub) == [customer_id(hub, user) for user in PEOPLE]
    assert (delivery_of("TEAM").pk, delivery_of("TEAM").state) == (group.pk, State.SUCCEEDED)
    assert Event.objects.get(entity_id="TEAM").state == State.SUCCEEDED
    assert (waits_for(), schedule_all_arrived(), run_rounds(hub)) == ([], 0, 0)


@pytest.mark.submission
@pytest.mark.parametrize("is_woken", [True, False])
def test_a_refused_group_follows_a_run_that_links_all_records_again(hub: Hub, is_woken: bool) -> None:
    """Also if the process that linked the records ended before it scheduled the group."""
    refused_group(hub)
    shop, person = Connection.objects.get(slug="shop"), ActingPerson(staff_user())
    request_preview(shop, person, "imported")
    run_jobs("relink")
    run = newest_relinking(shop)
    assert run is not None
    apply_preview(run, person)
    run_jobs("relink")
    if not is_woken:
        AwaitedRecord.objects.update(due_at=None)
        assert schedule_all_arrived() == 2
    assert run_rounds(hub) == 1
    linked = linked_ids(PEOPLE)
    assert members_of(hub) == [linked[user] for user in PEOPLE]


@pytest.mark.submission
def test_a_group_that_was_linked_before_follows_too(hub: Hub) -> None:
    """Its record names the members by their former numbers, which the import has replaced in the shop."""
    set_field("GROUP", "members", MEMBERS)
    for user in PEOPLE:
        tell(hub, "USER", add_user(hub, user))
    add_group(hub, "TEAM", PEOPLE)
    assert tell(hub, "GROUP", "TEAM") == "done"
    change_ids(hub, "import")
    assert tell(hub, "GROUP", "TEAM") == "target-rejected"
    for user in PEOPLE:
        assert tell(hub, "USER", user) == "done"
    assert run_rounds(hub) >= 1
    assert (delivery_of("TEAM").state, members_of(hub)) == (
        State.UNCHANGED,
        [customer_id(hub, user) for user in PEOPLE],
    )


def test_a_group_whose_wait_is_over_follows_when_its_member_arrives(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS)
    add_group(hub, "TEAM", [ANNA])
    tell(hub, "GROUP", "TEAM")
    end_wait_of("TEAM")
    assert (run_again("TEAM"), delivery_of("TEAM").state) == ("reference-missing", State.DEAD)
    assert (schedule_all_arrived(), run_rounds(hub)) == (0, 0)
    assert tell(hub, "USER", ANNA) == "done"
    assert run_rounds(hub) == 1
    assert members_of(hub) == [customer_id(hub, ANNA)]


@pytest.mark.submission
def test_a_failure_of_the_system_waits_for_no_record(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS)
    tell(hub, "USER", ANNA)
    add_group(hub, "TEAM", [ANNA])
    hub.shop.faults.add("error", status=503, methods=["POST"])
    tell(hub, "GROUP", "TEAM")
    assert (delivery_of("TEAM").code, waits_for()) == ("target-unavailable", [])
    hub.shop.faults.clear()
    assert Link.objects.filter(entity_id=ANNA).exists()
    assert run_again("TEAM") == "succeeded"
