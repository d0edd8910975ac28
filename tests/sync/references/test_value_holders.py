"""A value that the target refused, because the record of another entity holds it, arrives once that one has changed.

People pass an address on, or exchange theirs, and their webhooks come in any order.
"""

from collections.abc import Sequence
from itertools import permutations

import pytest

from exports.row_checks.nightly_rows import find_row_faults
from sync.deliveries.routes import resolved_routes
from sync.models import Attempt, AwaitedRecord, Connection, Route
from tests.support.builders.references import add_user, delivery_of, record_of, run_rounds, tell, waits_for
from tests.support.connections import copy_connection
from tests.support.hub import Hub
from webhooks.models import Source

PEOPLE = ("UA", "UB", "UC")
ROUNDS = 8


def move_address(hub: Hub, key: str, address: str) -> None:
    """Change a person's address in the identity service, without a webhook."""
    emails = [{"address": address, "verified": True}]
    hub.identity.directory.update_record("users", key, {"emails": emails}, replaces=False)


def addresses(hub: Hub, people: Sequence[str]) -> list[str]:
    records = [record_of(hub, "customers", key) for key in people]
    return [record["email"] for record in records if record is not None]


def people_with_records(hub: Hub, number: int) -> list[str]:
    """Return people whose addresses are `ua@…`, `ub@…` and so on, in both systems."""
    people = [add_user(hub, key) for key in PEOPLE[:number]]
    assert [tell(hub, "USER", key, "CREATE") for key in people] == ["done"] * number
    return people


CASES = [
    pytest.param(
        wanted,
        order,
        id=f"{''.join(wanted)}-{''.join(map(str, order))}",
        # Of three people, one order in the gate.
        marks=pytest.mark.submission if len(wanted) == 3 and order != (0, 1, 2) else (),
    )
    for wanted in (("ub", "new"), ("ub", "ua"), ("ub", "uc", "new"), ("ub", "uc", "ua"))
    for order in permutations(range(len(wanted)))
]


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I2")
@pytest.mark.parametrize(("wanted", "order"), CASES)
def test_addresses_that_change_hands_arrive_in_every_order_of_the_webhooks(
    hub: Hub, wanted: tuple[str, ...], order: tuple[int, ...]
) -> None:
    people = people_with_records(hub, len(wanted))
    final = [f"{name}@example.com" for name in wanted]
    for key, address in zip(people, final, strict=True):
        move_address(hub, key, address)
    for place in order:
        tell(hub, "USER", people[place])
    run_rounds(hub, ROUNDS)
    assert addresses(hub, people) == final
    assert {delivery_of(key).state for key in people} <= {"succeeded", "unchanged"}
    assert waits_for() == []
    assert list(find_row_faults()) == []


@pytest.mark.submission
@pytest.mark.parametrize("wanted", ["new", "ua"])
def test_the_holder_may_be_known_to_another_identity_service(hub: Hub, wanted: str) -> None:
    """As after a merger: both services feed one target. The holder passes its address on, or exchanges it."""
    add_user(hub, "UA")
    assert tell(hub, "USER", "UA", "CREATE") == "done"
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    source = Source.objects.get(slug="aurora-unsigned")
    Route.objects.filter(source=source, entity_type="USER").delete()
    route.pk, route.slug, route.source = None, "", source
    route.identity = copy_connection(Connection.objects.get(slug="aurora"), "hr", name="HR")
    route.save(force_insert=True)
    resolved_routes.invalidate()
    holder = {"id": add_user(hub, "UB"), "entityType": "USER", "eventType": "CREATE"}
    assert hub.post(holder).status_code == 200
    move_address(hub, "UA", "ub@example.com")
    move_address(hub, "UB", f"{wanted}@example.com")
    assert tell(hub, "USER", "UA") == "target-rejected"
    assert waits_for() == [("UA", "UB")]
    run_rounds(hub)  # the webhook of the holder is late
    hub.post(holder | {"eventType": "UPDATE"})
    hub.wait_until_quiet()
    run_rounds(hub, ROUNDS)
    assert addresses(hub, ["UA", "UB"]) == ["ub@example.com", f"{wanted}@example.com"]
    assert waits_for() == []


def test_a_person_without_a_record_gets_one_once_the_address_is_free(hub: Hub) -> None:
    [holder] = people_with_records(hub, 1)
    add_user(hub, "UN")
    move_address(hub, "UN", "ua@example.com")
    move_address(hub, holder, "new@example.com")
    assert tell(hub, "USER", "UN", "CREATE") == "target-rejected"
    assert waits_for() == [("UN", holder)]
    tell(hub, "USER", holder)
    run_rounds(hub)
    assert addresses(hub, ["UN", holder]) == ["ua@example.com", "new@example.com"]


def test_a_true_conflict_stays_refused_and_is_tried_once_more_for_each_change_of_the_holder(hub: Hub) -> None:
    """Both say in the identity service that the address is theirs: nothing is given up, and no loop begins."""
    first, second = people_with_records(hub, 2)
    move_address(hub, first, "ub@example.com")
    assert tell(hub, "USER", first) == "target-rejected"
    run_rounds(hub, ROUNDS)
    refused = Attempt.objects.filter(delivery=delivery_of(first).pk, code="target-rejected")
    assert refused.count() == 2
    assert tell(hub, "USER", second) == "done"
    run_rounds(hub, ROUNDS)
    assert refused.count() == 3
    assert addresses(hub, [first, second]) == ["ua@example.com", "ub@example.com"]
    assert delivery_of(first).state == "dead"


def test_a_value_of_a_record_that_no_entity_has_is_not_waited_for(hub: Hub) -> None:
    [first] = people_with_records(hub, 1)
    hub.shop.catalogue.create_record("customers", {"email": "stranger@example.com"})
    move_address(hub, first, "stranger@example.com")
    assert tell(hub, "USER", first) == "target-rejected"
    assert not AwaitedRecord.objects.exists()
