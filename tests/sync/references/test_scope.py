"""References to somebody outside the scope of a route are those to somebody with a record, or without one."""

import pytest

from sync.models import RecordReference, Route
from tests.support.builders.references import (
    LEAVE_OUT,
    MANAGER,
    MEMBERS,
    add_group,
    add_user,
    customer_id,
    end_wait_of,
    members_of,
    run_again,
    set_field,
    tell,
)
from tests.support.hub import ANNA, Hub

pytestmark = pytest.mark.concurrent


def set_scope(on_leaving: str) -> None:
    Route.objects.filter(entity_type="USER").update(
        condition="entity.department == 'staff'", on_leaving=on_leaving
    )


def move(hub: Hub, user: str, department: str) -> None:
    """Change the department of a user, and report it."""
    hub.identity.directory.update_record("users", user, {"department": department}, replaces=False)
    tell(hub, "USER", user)


def test_a_group_refers_to_who_left_with_a_record_and_waits_for_who_never_had_one(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS | LEAVE_OUT)
    add_user(hub, "BEA", department="guest")
    add_group(hub, "TEAM", [ANNA, "BEA"])
    tell(hub, "USER", ANNA)
    set_scope("leave")
    move(hub, ANNA, "guest")
    tell(hub, "USER", "BEA")
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"
    end_wait_of("TEAM")
    assert run_again("TEAM") == "succeeded"
    assert members_of(hub) == [customer_id(hub, ANNA)]


@pytest.mark.parametrize(
    ("policy", "number"), [("leave", 1), ("deactivate", 1), ("delete", 0), ("unlink", 0)]
)
def test_the_record_of_who_left_keeps_its_references_while_it_is_linked(
    hub: Hub, policy: str, number: int
) -> None:
    """Holds that a record which stays is still known to refer to that of a manager."""
    set_field("USER", "phone", MANAGER | LEAVE_OUT, wait_minutes=0)
    tell(hub, "USER", ANNA)
    add_user(hub, "BEA", managerId=ANNA, department="staff")
    tell(hub, "USER", "BEA")
    assert RecordReference.objects.count() == 1
    set_scope(policy)
    move(hub, "BEA", "guest")
    assert RecordReference.objects.count() == number
