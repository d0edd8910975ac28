"""Promise I26: an unlinked record is bound as its route's matching policy says, and a stranger's record never changes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connections

from sync.attempts import apply
from sync.models import MATCH_HELD_CODE, Delivery, Link, MappingVersion, Route
from sync.planning.record_matching import MAX_CANDIDATES, MatchingPolicy
from tests.support.builders.matched_records import (
    MALLORY,
    a_customer,
    a_user,
    bound_record,
    candidates_of,
    follow,
    post,
    verify_by,
)
from tests.support.hub import ANNA, Hub
from webhooks.models import State

pytestmark = pytest.mark.concurrent


GRACE = "grace.holloway@example.com"  # the shop has an unlinked record with this address
NEW = "mallory@example.com"
HELD = (202, "accepted")
Record = dict[str, Any]


def record_with(hub: Hub, email: str) -> Record:
    [record] = [record for record in hub.shop.list_records("customers") if record["email"] == email]
    return record


def unverified_new(hub: Hub) -> tuple[int, str]:
    """A person enters a stranger's address, which nobody has verified."""
    a_user(hub, (GRACE, False))
    return post(hub)


def own_address_verified(hub: Hub) -> tuple[int, str]:
    """A person has a verified address of their own, and writes a stranger's before it."""
    a_user(hub, (GRACE, False), (NEW, True))
    return post(hub)


def unverified_previous(hub: Hub) -> tuple[int, str]:
    """A person had entered a stranger's address, and now has one of their own."""
    a_user(hub, (NEW, True))
    return post(hub, previous={"email": GRACE})


def declared_unverified_previous(hub: Hub) -> tuple[int, str]:
    """The previous address says itself that it was not verified."""
    a_user(hub, (NEW, True))
    return post(hub, previous={"emails": [{"address": GRACE, "verified": False}], "email": GRACE})


def two_candidates(hub: Hub) -> tuple[int, str]:
    """A person has a verified address of one record, and had the verified one of another."""
    a_customer(hub, "second@example.com")
    a_user(hub, ("second@example.com", True))
    verify_by(f"[entity.emails[0].address, '{GRACE}']")
    return post(hub)


def deleted_with_previous(hub: Hub) -> tuple[int, str]:
    """A person who had entered a stranger's address is deleted."""
    return post(hub, event_type="DELETE", previous={"email": GRACE})


def verified_new(hub: Hub) -> tuple[int, str]:
    """A person has the verified address of the record."""
    a_user(hub, (GRACE, True))
    return post(hub)


Story = Callable[[Hub], tuple[int, str]]


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I26")
@pytest.mark.parametrize(
    ("story", "policy"),
    [
        (unverified_new, MatchingPolicy.VERIFIED),
        (own_address_verified, MatchingPolicy.VERIFIED),
        (unverified_previous, MatchingPolicy.VERIFIED),
        (declared_unverified_previous, MatchingPolicy.VERIFIED),
        (deleted_with_previous, MatchingPolicy.VERIFIED),
        (two_candidates, MatchingPolicy.VERIFIED),
        (two_candidates, MatchingPolicy.TRUSTED),
        (verified_new, MatchingPolicy.HOLD),
        (unverified_previous, MatchingPolicy.HOLD),
    ],
)
def test_an_unproven_match_is_held_and_changes_no_record(
    hub: Hub, story: Story, policy: MatchingPolicy
) -> None:
    follow(policy)
    grace = record_with(hub, GRACE)
    assert story(hub) == HELD
    delivery = Delivery.objects.get(entity_id=MALLORY)
    assert (delivery.state, delivery.code) == (State.HELD, MATCH_HELD_CODE)
    assert hub.writes() == []
    assert str(grace["id"]) in candidates_of()
    assert len(candidates_of()) == (2 if story is two_candidates else 1)
    assert record_with(hub, GRACE) == grace
    assert bound_record() is None


@pytest.mark.parametrize("story", [unverified_new, unverified_previous])
def test_with_the_policy_never_a_record_is_created_and_a_conflict_is_the_targets(
    hub: Hub, story: Story
) -> None:
    follow(MatchingPolicy.NEVER)
    expected = (200, "succeeded") if story is unverified_previous else (422, "target-rejected")
    before = record_with(hub, GRACE)
    assert story(hub) == expected
    assert record_with(hub, GRACE) == before


def test_a_verified_address_binds_and_an_unverified_one_may_be_written(hub: Hub) -> None:
    grace = record_with(hub, GRACE)
    a_user(hub, (NEW, False), (GRACE, True))
    assert post(hub) == (200, "succeeded")
    assert bound_record() == str(grace["id"])
    assert (record_with(hub, NEW)["id"], record_with(hub, NEW)["external_id"]) == (grace["id"], MALLORY)


def test_a_verified_previous_address_binds(hub: Hub) -> None:
    grace = record_with(hub, GRACE)
    a_user(hub, (NEW, False))
    assert post(hub, previous={"emails": [{"address": GRACE, "verified": True}]}) == (200, "succeeded")
    assert bound_record() == str(grace["id"])


def test_a_trusted_source_binds_by_any_value(hub: Hub) -> None:
    follow(MatchingPolicy.TRUSTED)
    grace = record_with(hub, GRACE)
    assert unverified_previous(hub) == (200, "succeeded")
    assert bound_record() == str(grace["id"])


@pytest.mark.parametrize("policy", [MatchingPolicy.NEVER, MatchingPolicy.HOLD])
def test_a_link_or_an_external_id_binds_under_every_policy(hub: Hub, policy: MatchingPolicy) -> None:
    follow(policy)
    hub.change_email("anna.first@example.com")
    assert post(hub, ANNA) == (200, "succeeded")  # by external id
    record = bound_record(ANNA)
    Link.objects.update(external_id_field="")
    hub.shop.catalogue.update_record("customers", str(record), {"external_id": "X"}, replaces=False)
    assert post(hub, ANNA) == (200, "succeeded")  # by link
    assert bound_record(ANNA) == record


@pytest.mark.promise("I26")
@pytest.mark.parametrize("policy", [MatchingPolicy.HOLD, MatchingPolicy.TRUSTED])
def test_a_record_that_is_linked_to_another_subject_is_no_candidate(hub: Hub, policy: MatchingPolicy) -> None:
    follow(policy)
    link_elsewhere(hub)
    a_user(hub, (GRACE, True))
    before = record_with(hub, GRACE)
    assert post(hub) == (422, "target-rejected")
    assert record_with(hub, GRACE) == before


def link_elsewhere(hub: Hub) -> None:
    """Link the stranger's record to another person."""
    post(hub, ANNA)
    own = Link.objects.get(entity_id=ANNA)
    own.pk, own.entity_id, own.record_id = None, "OWNER1", str(record_with(hub, GRACE)["id"])
    own.save(force_insert=True)


def changes_of(hub: Hub, record_id: str) -> int:
    """Count the writes to a record."""
    return sum(write["path"].endswith(f"/{record_id}") for write in hub.writes())


@pytest.mark.promise("I26")
def test_of_two_people_who_find_one_record_one_is_bound(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have the same verified address, and find the record before either of them is bound."""
    record = str(record_with(hub, GRACE)["id"])
    for user in (MALLORY, "MALLORY2"):
        a_user(hub, (GRACE, True), user=user)
    both, bind = Barrier(2), apply.bind_record

    def wait_and_bind(*arguments: Any) -> bool:
        try:
            both.wait(timeout=60)
        except BrokenBarrierError:
            pass  # only the first time both wait
        else:
            both.abort()
        return bind(*arguments)

    monkeypatch.setattr(apply, "bind_record", wait_and_bind)

    def one(user: str) -> tuple[int, str]:
        try:
            return post(hub, user)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(one, (MALLORY, "MALLORY2")))
    assert sorted(answers) == [(200, "succeeded"), (422, "target-rejected")]
    assert changes_of(hub, record) == 1
    assert Link.objects.filter(record_id=record).count() == 1


@pytest.mark.submission
def test_a_record_stays_bound_though_its_first_write_fails(hub: Hub) -> None:
    record = str(record_with(hub, GRACE)["id"])
    a_user(hub, (GRACE, True))
    hub.shop.faults.add("error", status=503, times=1, methods=["PATCH"])
    assert post(hub)[0] == 424
    assert bound_record() == record
    a_user(hub, (GRACE, True), user="MALLORY2")
    assert post(hub, "MALLORY2") == (422, "target-rejected")
    hub.change_email(NEW, MALLORY)
    assert post(hub) == (200, "succeeded")
    assert str(record_with(hub, NEW)["id"]) == record


def test_types_without_verified_values_are_held(hub: Hub) -> None:
    hub.shop.catalogue.create_record("segments", {"name": "Board", "external_id": None})
    hub.identity.directory.create_record("groups", {"id": "BOARD1", "name": "Board"})
    answer = hub.post_signed({"id": "BOARD1", "entityType": "GROUP", "eventType": "CREATE"})
    assert (answer.status_code, answer.json()["status"]) == HELD
    assert hub.writes() == []


@pytest.mark.submission
def test_a_held_match_keeps_at_most_ten_candidates_and_only_mapped_fields(hub: Hub) -> None:
    names = [f"many{number}@example.com" for number in range(MAX_CANDIDATES + 2)]
    for name in names:
        a_customer(hub, name)
    newest = MappingVersion.objects.filter(mapping__routes__entity_type="USER").latest("number")
    declaration = newest.declaration
    listed = ", ".join(f"'{name}'" for name in names[:7])
    rest = ", ".join(f"'{name}'" for name in names[7:])
    declaration["match"]["verified"] = {
        "new": {"email": {"path": f"[{listed}]"}},
        "previous": {"email": {"path": f"[{rest}]"}},
    }
    MappingVersion.objects.create(mapping=newest.mapping, number=newest.number + 1, declaration=declaration)
    a_user(hub, (NEW, True))
    assert post(hub, previous={"email": NEW}) == HELD
    assert len(candidates_of()) == MAX_CANDIDATES


@pytest.mark.one_database
def test_only_a_signed_source_can_be_trusted(hub: Hub) -> None:
    route = Route.objects.get(source__slug="aurora-unsigned", entity_type="USER")
    route.matching = MatchingPolicy.TRUSTED
    with pytest.raises(ValidationError, match="Only a signed source can be trusted"):
        route.full_clean()
    Route.objects.filter(pk=route.pk).update(matching=MatchingPolicy.TRUSTED)
    a_user(hub, (GRACE, False))
    answer = hub.post({"id": MALLORY, "entityType": "USER", "eventType": "UPDATE"})
    assert answer.status_code == 202, "a source that lost its signature is not trusted"
