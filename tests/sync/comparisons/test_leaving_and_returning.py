"""A person leaves the scope of a route and comes back, each time by a webhook or found by a comparison, under each policy.

What no other test holds: the whole way of one person through the journals of both systems, beside one who stays, one who
was never inside, and one of whom the condition says nothing: their records are never written.
"""

import itertools
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from sync.models import Link, Route
from tests.support.builders.bulk_replays import staff_user
from tests.support.compared_people import entity_of, fill_systems, person_id, record_id
from tests.support.comparisons import make_everything_equal, people_route, run_comparison
from tests.support.hub import Hub

pytestmark = [pytest.mark.concurrent, pytest.mark.submission]

LEAVER, STAYS, UNKNOWN, OUTSIDE = range(4)
WAYS = ("webhook", "comparison")
Policy = Route.LeavingPolicy
JOURNEYS = list(itertools.product(Policy.values, WAYS, WAYS))
NEW_PHONE, LATER_PHONE = "+358409990001", "+358409990002"


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def be(hub: Hub, number: int, *, is_staff: bool | None, phone: str = "") -> None:
    """Change a person without a webhook. None: the identity service says nothing about it."""
    said = {} if is_staff is None else {"staff": is_staff}
    hub.identity.store.put_record("users", person_id(number), entity_of(number, phone) | said)


@pytest.fixture
def by() -> User:
    return staff_user()


@pytest.fixture
def scoped(hub: Hub, settings: Any) -> Hub:
    """Return a hub whose two systems agree about four people, of whom two are staff and one has no record."""
    settings.ABSENCE_CONFIRM_SECONDS = 0.0
    fill_systems(hub.identity, hub.shop, 4, execute)
    for number, is_staff in ((LEAVER, True), (STAYS, True), (UNKNOWN, None), (OUTSIDE, False)):
        be(hub, number, is_staff=is_staff)
    hub.shop.store.delete_record("customers", record_id(OUTSIDE))
    Link.objects.filter(entity_id=person_id(OUTSIDE)).delete()
    return hub


def set_scope(policy: str) -> None:
    Route.objects.filter(pk=people_route().pk).update(
        condition="entity.staff", on_leaving=policy, reactivation={"active": True}
    )


def tell(hub: Hub, way: str, by: User) -> None:
    """Let the hub know of what changed: by a webhook of each person, or by a comparison that is made equal."""
    if way == "webhook":
        for number in (LEAVER, STAYS, OUTSIDE):
            hub.post_signed({"id": person_id(number), "entityType": "USER", "eventType": "UPDATE"})
        hub.wait_until_idle()
    else:
        make_everything_equal(hub, run_comparison(), by)


def writes_since(hub: Hub, before: int) -> list[str]:
    return [write["method"] for write in hub.writes()[before:]]


def customer(hub: Hub, number: int) -> dict[str, Any] | None:
    return hub.customer(person_id(number))


OUT = {Policy.LEAVE: [], Policy.DEACTIVATE: ["PATCH"], Policy.DELETE: ["DELETE"], Policy.UNLINK: []}
BACK = {
    Policy.LEAVE: ["PATCH"],
    Policy.DEACTIVATE: ["PATCH"],
    Policy.DELETE: ["POST"],
    Policy.UNLINK: ["PATCH"],
}


@pytest.mark.parametrize(("policy", "way_out", "way_back"), JOURNEYS)
def test_who_leaves_and_returns_is_written_once_each_and_nobody_else(
    scoped: Hub, by: User, policy: str, way_out: str, way_back: str
) -> None:
    set_scope(policy)
    others = [customer(scoped, number) for number in (STAYS, UNKNOWN)]
    tell(scoped, way_out, by)
    assert scoped.writes() == [], "who has not left is written"

    be(scoped, LEAVER, is_staff=False, phone=NEW_PHONE)
    for _ in range(2):
        tell(scoped, way_out, by)
        assert writes_since(scoped, 0) == OUT[Policy(policy)], "leaving is done once"
    record = customer(scoped, LEAVER)
    if policy == Policy.DELETE:
        assert record is None
    else:
        assert record is not None
        assert (record["active"], record["phone"]) == (
            policy != Policy.DEACTIVATE,
            entity_of(LEAVER)["mobiles"][0]["number"],
        )

    be(scoped, LEAVER, is_staff=True, phone=LATER_PHONE)
    before = len(scoped.writes())
    for _ in range(2):
        tell(scoped, way_back, by)
        assert writes_since(scoped, before) == BACK[Policy(policy)], "coming back is done once"
    returned = customer(scoped, LEAVER)
    assert returned is not None
    assert (returned["active"], returned["phone"]) == (True, LATER_PHONE)
    assert (str(returned["id"]) == record_id(LEAVER)) is (policy != Policy.DELETE)
    link = Link.objects.get(entity_id=person_id(LEAVER))
    assert (link.record_id, link.left_scope_at) == (str(returned["id"]), None)

    assert [customer(scoped, number) for number in (STAYS, UNKNOWN)] == others
    assert customer(scoped, OUTSIDE) is None
    assert scoped.identity.read_journal(only_writes=True) == []
    # Nothing is left to do; of one the condition says nothing, which is no reason to remove them.
    last = run_comparison()
    assert {row.kind: row.entity_id for row in last.differences.exclude(kind="out-of-scope")} == {
        "unmappable": person_id(UNKNOWN)
    }
