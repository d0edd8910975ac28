"""The erasure of an entity also erases the references for which its deliveries wait."""

import pytest
from django.contrib.auth.models import User

from logins.held_permissions import ERASE
from sync.erasure.requests import decide_erasure, request_erasure
from sync.erasure.subject_data import find_subject
from sync.models import AwaitedRecord, Link, RecordReference
from sync.rechecks.due_completions import begin_due_completions
from tests.support.builders.erasure import erase_confirmed
from tests.support.builders.references import (
    MANAGER,
    MEMBERS,
    add_group,
    add_user,
    set_field,
    tell,
    waits_for,
)
from tests.support.hub import Hub
from tests.support.people import hold_permissions_for_days


def erase(key: str) -> None:
    asker, other = (User.objects.create(username=name, is_staff=True) for name in ("asks", "confirms"))
    hold_permissions_for_days(other, ERASE)
    erasure = request_erasure(
        find_subject("USER", key, None), ground="consent-withdrawn", reason="Asked.", by=asker
    )
    decide_erasure(erasure, confirms=True, by=other)
    assert erase_confirmed() == 1


def group_that_waits_for_a_known_user(hub: Hub) -> None:
    set_field("GROUP", "members", MEMBERS)
    add_user(hub, "BEA")
    assert tell(hub, "USER", "BEA") == "done"
    Link.objects.filter(entity_id="BEA").delete()
    add_group(hub, "TEAM", ["BEA", "CARL"])
    assert tell(hub, "GROUP", "TEAM") == "reference-missing"
    assert waits_for() == [("TEAM", "BEA"), ("TEAM", "CARL")]


@pytest.mark.submission
def test_no_delivery_waits_for_an_erased_person(hub: Hub) -> None:
    group_that_waits_for_a_known_user(hub)
    erase("BEA")
    assert waits_for() == [("TEAM", "CARL")]
    assert not AwaitedRecord.objects.filter(entity_id="BEA").exists()


@pytest.mark.submission
@pytest.mark.parametrize("erased", ["CARL", "BEA"])
def test_missing_references_of_an_erased_person_are_deleted(hub: Hub, erased: str) -> None:
    """The person who is missing, and the one whose record lacks the reference."""
    set_field("USER", "phone", MANAGER | {"when_missing": "leave_out"}, wait_minutes=0)
    add_user(hub, "BEA", managerId="CARL")
    add_user(hub, "CARL")
    assert tell(hub, "USER", "BEA") == "done"
    assert waits_for() == [("BEA", "CARL")]
    assert tell(hub, "USER", "CARL") == "done"
    assert AwaitedRecord.objects.exclude(due_at=None).count() == 1
    erase(erased)
    assert waits_for() == []
    assert begin_due_completions() == []


def test_no_reference_to_an_erased_person_is_stored(hub: Hub) -> None:
    set_field("USER", "phone", MANAGER)
    add_user(hub, "BEA")
    add_user(hub, "CARL", managerId="BEA")
    add_user(hub, "DORA", managerId="CARL")
    for key in ("BEA", "CARL", "DORA"):
        assert tell(hub, "USER", key) == "done"
    assert sorted(RecordReference.objects.values_list("entity_id", flat=True)) == ["BEA", "CARL"]
    erase("CARL")
    assert not RecordReference.objects.exists()
