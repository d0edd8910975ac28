"""The mass-change guard: changes beyond the limits of a route are held for a person and not sent."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sync.attempts.mass_change_guard import (
    MIN_KNOWN_RECORDS,
    HeldForApproval,
    categorize_change,
    check_mass_change,
)
from sync.deliveries.claims import Claim, claim_delivery
from sync.models import Attempt, ChangeCategory, Delivery, Link, MappingVersion, Route
from sync.operations.held_deliveries import HeldDecision, decide_held
from sync.planning.change import Change, ChangeAction, FieldChange
from tests.support.builders.history import a_delivery, a_route, an_attempt, an_event
from tests.support.hub import Hub
from tests.support.threads import in_threads
from webhooks.models import Event, Source, State

pytestmark = pytest.mark.concurrent

SLUG = "aurora-unsigned"


def person(hub: Hub, number: int) -> str:
    """Create a person in the identity service."""
    user, address = f"GUARDED{number}", f"guarded.{number}@example.com"
    emails = [{"address": address, "verified": True}]
    hub.identity.directory.create_record("users", {"id": user, "username": user.lower(), "emails": emails})
    return user


def customers(hub: Hub, count: int) -> list[str]:
    """New persons whom the shop knows."""
    users = [person(hub, number) for number in range(count)]
    for user in users:
        assert post_webhook(user) == 200
    return users


def post_webhook(user: str, event_type: str = "UPDATE") -> int:
    body = {"id": user, "entityType": "USER", "eventType": event_type}
    return Client().post(f"/webhooks/{SLUG}", body, content_type="application/json").status_code


def delete_person(hub: Hub, user: str) -> int:
    """Delete the person in the identity service and post the webhook about it."""
    hub.identity.directory.delete_record("users", user)
    return post_webhook(user, "DELETE")


def bound(**values: Any) -> None:
    Route.objects.filter(source__slug=SLUG, entity_type="USER").update(**values)


@pytest.mark.parametrize("when_deleted", [Route.DeletionPolicy.DELETE, Route.DeletionPolicy.DEACTIVATE])
def test_removals_beyond_the_limit_are_held_and_not_sent(hub: Hub, when_deleted: str) -> None:
    users = customers(hub, 5)
    bound(max_removals=3, when_deleted=when_deleted)
    writes = len(hub.writes())
    assert [delete_person(hub, user) for user in users] == [200, 200, 200, 202, 202]
    assert len(hub.writes()) == writes + 3
    held = Delivery.objects.filter(state=State.HELD)
    assert set(held.values_list("entity_id", "code")) == {(users[3], "held"), (users[4], "held")}
    assert set(Event.objects.filter(deliveries__in=held).values_list("state", "code")) == {("held", "held")}
    for attempt in Attempt.objects.filter(delivery__in=held):
        assert (attempt.counted_as, attempt.findings is None) == ("", False)
        assert not attempt.calls.filter(is_write=True).exists()
    assert hub.customer(users[4])["active"] is True


def approve(*held: Delivery) -> None:
    keys = [delivery.pk for delivery in held]
    decide_held(
        keys,
        HeldDecision.APPROVE,
        by=User.objects.create_user(uuid4().hex),
        reason="spoken with them",
        key=uuid4(),
    )


@pytest.mark.submission
def test_an_approved_removal_passes_with_the_attempt_that_covers_it_and_does_not_count(hub: Hub) -> None:
    user, other = customers(hub, 2)
    bound(max_removals=0)
    assert delete_person(hub, user) == 202
    hub.shop.faults.add("error", times=1, methods=["PATCH"])
    approve(Delivery.objects.get(state=State.HELD))
    hub.wait_until_idle()
    assert Delivery.objects.filter(state=State.RETRYING, is_approved=True).count() == 1
    assert post_webhook(user, "DELETE") == 200
    assert not Delivery.objects.filter(state__in=[State.HELD, State.RETRYING]).exists()
    assert hub.customer(user)["active"] is False
    assert not Attempt.objects.filter(counted_as=ChangeCategory.REMOVAL).exists()
    assert delete_person(hub, other) == 202


def a_link(number: int, route: Route) -> Link:
    return Link(
        identity=route.identity,
        target=route.target,
        entity_type="USER",
        entity_id=f"KNOWN{number}",
        record_id=f"R{number}",
        applied_at=timezone.now(),
    )


def guarded(source: Source, **bounds: Any) -> Route:
    """Set these limits on a route with a readable mapping."""
    route = a_route(source, **bounds)
    MappingVersion.objects.update(declaration={"fields": {"email": {"path": "entity.email"}}})
    return route


def a_claim(route: Route, number: int, **values: Any) -> Claim:
    """Create a delivery about `USR-<number>` whose attempt has begun."""
    event = an_event(number, source=route.source, entity_id=f"USR-{number}")
    waiting = {"state": State.PENDING, "due_at": timezone.now() - timedelta(minutes=1)}
    claim = claim_delivery(a_delivery(event, route, **waiting | values).pk)
    assert claim is not None
    return claim


def weigh_attempt(taken: Claim) -> str:
    """Return the category in which the attempt was counted, and end it."""
    Delivery.objects.filter(pk=taken.delivery.pk).update(
        state=State.SUCCEEDED, token=None, lease_until=None, due_at=None
    )
    return Attempt.objects.get(pk=taken.attempt.pk).counted_as


UPDATE = Change(ChangeAction.UPDATE, "R1", (FieldChange("email", "a", "b"),))
DELETE = Change(ChangeAction.DELETE, "R1", (FieldChange("email", "a", None),))
NOTHING = Change(ChangeAction.NOTHING, "R1")


@pytest.mark.parametrize(
    ("change", "is_gone", "weight"),
    [
        (NOTHING, True, None),
        (UPDATE, False, ChangeCategory.CHANGE),
        (UPDATE, True, ChangeCategory.REMOVAL),
        (DELETE, True, ChangeCategory.REMOVAL),
        (Change(ChangeAction.CREATE, None, UPDATE.fields), False, ChangeCategory.CHANGE),
    ],
)
def test_a_change_counts_by_its_kind(change: Change, is_gone: bool, weight: ChangeCategory | None) -> None:
    assert categorize_change(change, is_deleted=is_gone) == weight


@pytest.mark.parametrize(
    ("change", "is_gone", "is_approved"),
    [(NOTHING, True, False), (UPDATE, False, False), (DELETE, True, True)],
    ids=["nothing to do", "no guard of this kind", "approved"],
)
def test_a_route_without_limits_costs_no_statement(
    database: None, change: Change, is_gone: bool, is_approved: bool
) -> None:
    claim = a_claim(guarded(an_event().source, max_removals=0), 1, is_approved=is_approved)
    with CaptureQueriesContext(connection) as queries:
        check_mass_change(claim, change, is_deleted=is_gone)
    assert len(queries) == 0


def test_a_mark_is_renewed_only_shortly_before_it_leaves_the_window(database: None) -> None:
    route = guarded(an_event().source, max_removals=1, guard_minutes=60)
    first = a_claim(route, 1)
    check_mass_change(first, DELETE, is_deleted=True)
    assert weigh_attempt(first) == ChangeCategory.REMOVAL
    soon = a_claim(route, 1)
    check_mass_change(soon, DELETE, is_deleted=True)
    assert weigh_attempt(soon) == ""
    Attempt.objects.filter(pk=first.attempt.pk).update(started_at=F("started_at") - timedelta(minutes=7))
    later = a_claim(route, 1)
    check_mass_change(later, DELETE, is_deleted=True)
    assert weigh_attempt(later) == ChangeCategory.REMOVAL
    with pytest.raises(HeldForApproval, match="deletions in 60 minutes are limited to 1"):
        check_mass_change(a_claim(route, 4), DELETE, is_deleted=True)


def test_removals_pass_again_after_the_window(database: None) -> None:
    """A mark counts for a tenth of the window longer, in which its subject is not marked again."""
    route = guarded(an_event().source, max_removals=1, guard_minutes=10)
    check_mass_change(a_claim(route, 1), DELETE, is_deleted=True)
    Attempt.objects.update(started_at=F("started_at") - timedelta(minutes=10.5))
    with pytest.raises(HeldForApproval):
        check_mass_change(a_claim(route, 2), DELETE, is_deleted=True)
    Attempt.objects.update(started_at=F("started_at") - timedelta(minutes=1))
    check_mass_change(a_claim(route, 3), DELETE, is_deleted=True)


def test_the_attempts_of_one_delivery_count_once(database: None) -> None:
    claim = a_claim(guarded(an_event().source, max_removals=1), 1)
    check_mass_change(claim, DELETE, is_deleted=True)
    retry = an_attempt(claim.delivery, 2, started_at=timezone.now())
    check_mass_change(replace(claim, attempt=retry), DELETE, is_deleted=True)


def test_routes_do_not_count_for_each_other(database: None) -> None:
    source = an_event().source
    one = guarded(source, max_removals=1)
    other = guarded(source, entity_type="GROUP", max_removals=1)
    check_mass_change(a_claim(one, 1), DELETE, is_deleted=True)
    check_mass_change(a_claim(other, 2), DELETE, is_deleted=True)
    with pytest.raises(HeldForApproval):
        check_mass_change(a_claim(one, 3), DELETE, is_deleted=True)


def test_changes_and_removals_do_not_count_for_each_other(database: None) -> None:
    route = guarded(an_event().source, max_removals=1, max_changed_percent=5.0)
    Link.objects.bulk_create([a_link(number, route) for number in range(MIN_KNOWN_RECORDS)])
    check_mass_change(a_claim(route, 1), UPDATE, is_deleted=False)
    check_mass_change(a_claim(route, 2), DELETE, is_deleted=True)
    with pytest.raises(HeldForApproval, match="changed records in 60 minutes are limited to 1"):
        check_mass_change(a_claim(route, 3), UPDATE, is_deleted=False)


def test_an_approval_after_the_delivery_was_read_counts(database: None) -> None:
    claim = a_claim(guarded(an_event().source, max_removals=0), 1)
    Delivery.objects.filter(pk=claim.delivery.pk).update(is_approved=True)
    check_mass_change(claim, DELETE, is_deleted=True)
    assert weigh_attempt(claim) == ""


def is_held(claim: Claim, change: Change, *, is_deleted: bool) -> bool:
    try:
        check_mass_change(claim, change, is_deleted=is_deleted)
    except HeldForApproval:
        return True
    return False


@pytest.mark.promise("I24")
def test_of_simultaneous_removals_exactly_the_limit_passes(database: None) -> None:
    route = guarded(an_event().source, max_removals=2)
    claims = [a_claim(route, number) for number in range(1, 7)]
    held = in_threads(lambda number: is_held(claims[number], DELETE, is_deleted=True), 6)
    assert sorted(held) == [False] * 2 + [True] * 4


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("known", "percent", "changed", "held"),
    [(40, 10.0, 6, 2), (MIN_KNOWN_RECORDS, 5.0, 3, 2), (MIN_KNOWN_RECORDS - 1, 5.0, 3, 0)],
    ids=["a share of many", "of the fewest", "too few to tell"],
)
def test_records_changed_beyond_their_share_are_held(
    database: None, known: int, percent: float, changed: int, held: int
) -> None:
    route = guarded(an_event().source, max_changed_percent=percent)
    Link.objects.bulk_create([a_link(number, route) for number in range(known)])
    claims = [a_claim(route, number) for number in range(1, changed + 1)]
    assert [is_held(claim, UPDATE, is_deleted=False) for claim in claims] == (
        [False] * (changed - held) + [True] * held
    )
