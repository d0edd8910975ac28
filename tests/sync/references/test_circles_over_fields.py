"""Entities that wait for each other's values in different fields: one needs the address that the other's record holds,
and that one the phone number that the first one's record holds.

`test_value_holders.py` holds the circles over one field. The shop refuses a phone number that another customer has here.
"""

from itertools import permutations
from typing import Any

import pytest

from exports.row_checks.nightly_rows import find_row_faults
from sandbox.http.messages import FieldError
from sandbox.shop.records import ShopCatalogue
from sandbox.shop.schema import build_validation_error
from sync.deliveries.routes import resolved_routes
from sync.models import Connection
from tests.support.builders.references import (
    add_user,
    delivery_of,
    record_of,
    run_rounds,
    set_field,
    tell,
    waits_for,
)
from tests.support.hub import Hub

ROUNDS = 8
PEOPLE = ("UA", "UB", "UC")
pytestmark = pytest.mark.promise("I2")


@pytest.fixture(autouse=True)
def refused_parts(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have the shop refuse a phone number that another customer has, and the hub send and search for it. It
    refuses a number with one of the returned texts too, which a test adds to.
    """
    refused_parts: list[str] = []

    def refuse_taken(shop: ShopCatalogue, collection: str, fields: dict[str, Any], own_id: object) -> None:
        if any(part in str(fields.get("phone")) for part in refused_parts):
            raise build_validation_error(FieldError("phone", "invalid", "This is not a phone number."))
        others = [row for row in shop.list_all("customers") if row["id"] != own_id]
        taken = [
            FieldError(name, "duplicate", "Another customer has it.")
            for name in ("email", "phone")
            if fields.get(name) and any(row[name] == fields[name] for row in others)
        ]
        if taken:
            raise build_validation_error(*taken)

    monkeypatch.setattr(ShopCatalogue, "_refuse_taken_email", refuse_taken)
    set_field("USER", "phone", {"path": "entity.nick"})
    shop = Connection.objects.get(slug="shop")
    shop.settings["entities"]["USER"]["operations"]["search"]["fields"].append("phone")
    Connection.objects.filter(pk=shop.pk).update(settings=shop.settings)
    resolved_routes.invalidate()
    return refused_parts


def change_user(hub: Hub, key: str, email: str, phone: str) -> None:
    """Change a person in the identity service, without a webhook."""
    values = {"emails": [{"address": f"{email}@example.com", "verified": True}], "nick": phone}
    hub.identity.directory.update_record("users", key, values, replaces=False)


def values_of(hub: Hub, key: str) -> tuple[str, str]:
    record = record_of(hub, "customers", key)
    assert record is not None
    return record["email"].removesuffix("@example.com"), record["phone"]


def people_with_records(hub: Hub, number: int) -> tuple[str, ...]:
    """Return people whose addresses are `ua@…`, and whose numbers are `phone-ua` and so on, in both systems."""
    for key in PEOPLE[:number]:
        add_user(hub, key, nick=f"phone-{key.lower()}")
        assert tell(hub, "USER", key, "CREATE") == "done"
    return PEOPLE[:number]


# The address and the number that each person gets.
TWO = (("ub", "new"), ("new", "phone-ua"))
THREE = (("ub", "new-1"), ("new-2", "phone-uc"), ("ua", "new-3"))
CASES = [
    pytest.param(
        wanted,
        order,
        id="-".join(map(str, order)),
        marks=pytest.mark.submission if len(wanted) == 3 and order != (0, 1, 2) else (),
    )
    for wanted in (TWO, THREE)
    for order in permutations(range(len(wanted)))
]


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(("wanted", "order"), CASES)
def test_values_of_different_fields_change_hands_in_every_order_of_the_webhooks(
    hub: Hub, wanted: tuple[tuple[str, str], ...], order: tuple[int, ...]
) -> None:
    people = people_with_records(hub, len(wanted))
    for key, (email, phone) in zip(people, wanted, strict=True):
        change_user(hub, key, email, phone)
    for place in order:
        tell(hub, "USER", people[place])
    run_rounds(hub, ROUNDS)
    assert tuple(values_of(hub, key) for key in people) == wanted
    assert {delivery_of(key).state for key in people} <= {"succeeded", "unchanged"}
    assert waits_for() == []
    assert list(find_row_faults()) == []


@pytest.mark.submission
def test_a_value_that_stays_is_not_given_up(hub: Hub) -> None:
    """UA needs the address that UB keeps: a true conflict, although UB needs the number of UA."""
    people_with_records(hub, 2)
    change_user(hub, "UA", "ub", "new")
    change_user(hub, "UB", "ub", "phone-ua")
    assert [tell(hub, "USER", key) for key in ("UA", "UB")] == ["target-rejected"] * 2
    assert values_of(hub, "UB") == ("ub", "phone-ub")
    run_rounds(hub, 1)
    assert values_of(hub, "UB") == ("ub", "phone-ub")


@pytest.mark.submission
@pytest.mark.parametrize("order", [("UA", "UB"), ("UB", "UA")])
def test_the_record_whose_field_can_have_a_temporary_value_gives_it_up(
    hub: Hub, refused_parts: list[str], order: tuple[str, str]
) -> None:
    people = people_with_records(hub, 2)
    refused_parts.append("changing")
    for key, (email, phone) in zip(people, TWO, strict=True):
        change_user(hub, key, email, phone)
    for key in order:
        tell(hub, "USER", key)
    run_rounds(hub, ROUNDS)
    assert tuple(values_of(hub, key) for key in people) == TWO
    assert waits_for() == []


@pytest.mark.submission
def test_numbers_that_cannot_have_a_temporary_value_stay_refused(hub: Hub, refused_parts: list[str]) -> None:
    """The target refuses the temporary value: both records stay as they are, and each delivery names the refusal."""
    people = people_with_records(hub, 2)
    refused_parts.append("changing")
    change_user(hub, "UA", "ua", "phone-ub")
    change_user(hub, "UB", "ub", "phone-ua")
    assert [tell(hub, "USER", key) for key in people] == ["target-rejected"] * 2
    run_rounds(hub, ROUNDS)
    assert [values_of(hub, key) for key in people] == [("ua", "phone-ua"), ("ub", "phone-ub")]
    assert [delivery_of(key).code for key in people] == ["target-rejected"] * 2


@pytest.mark.submission
def test_only_the_value_that_another_one_waits_for_is_given_up(hub: Hub) -> None:
    """The target refuses two values to UA: the address is that of UB, and the number is not."""
    people = people_with_records(hub, 3)
    change_user(hub, "UA", "ub", "phone-uc")
    change_user(hub, "UB", "new", "phone-ua")
    change_user(hub, "UC", "uc", "new-3")
    assert [tell(hub, "USER", key) for key in ("UA", "UB")] == ["target-rejected"] * 2
    email, phone = values_of(hub, "UB")
    assert email.startswith("ub+changing-")
    assert phone == "phone-ub"
    tell(hub, "USER", "UC")
    run_rounds(hub, ROUNDS)
    wanted = [("ub", "phone-uc"), ("new", "phone-ua"), ("uc", "new-3")]
    assert [values_of(hub, key) for key in people] == wanted
