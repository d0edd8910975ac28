"""The page that changes the numbers of the shop's customers, as a restore, an import or a merge does."""

from typing import Any

import pytest

from sandbox.shop import ShopService
from tests.sandbox.client import Client

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

PEOPLE = ("IDNUMBER1234", "5f2a9c0e7b1d4e8890aa0001", "BEA")
STRANGERS = {"taken@example.com", "grace.holloway@example.com", "old.orders@example.com"}


@pytest.fixture
def browser(shop: ShopService) -> Client:
    shop.catalogue.create_record("customers", {"external_id": "BEA", "email": "bea@example.com"})
    shop.catalogue.create_record("segments", {"name": "All", "members": [*numbers(shop).values(), "4712"]})
    return Client(shop.url)


def numbers(shop: ShopService) -> dict[str, str]:
    """Return the number of each customer who has an identity."""
    return {
        one["external_id"]: str(one["id"]) for one in shop.list_records("customers") if one["external_id"]
    }


def change(browser: Client, kind: str) -> str:
    answer = browser("POST", "/ids", data={"kind": kind})
    assert answer.status_code == 303
    return browser("GET", answer.headers["Location"]).text


def strangers(shop: ShopService) -> list[dict[str, Any]]:
    return [record for record in shop.list_records("customers") if record["email"] in STRANGERS]


@pytest.mark.parametrize(
    ("kind", "moves", "changed"),
    [("exchange", {0: 1, 1: 0, 2: 2}, 2), ("shift", {0: 1, 1: 2, 2: 0}, 3)],
)
def test_customers_get_each_others_numbers(
    shop: ShopService, browser: Client, kind: str, moves: dict[int, int], changed: int
) -> None:
    before, others = numbers(shop), strangers(shop)
    assert f"{changed} customers changed." in change(browser, kind)
    after = numbers(shop)
    assert after == {PEOPLE[one]: before[PEOPLE[other]] for one, other in moves.items()}
    assert strangers(shop) == others
    assert shop.list_records("segments")[-1]["members"] == [*(after[one] for one in PEOPLE), "4712"]
    # What was stored can be read and written as before.
    assert shop.catalogue.get_record("customers", after["BEA"])["email"] == "bea@example.com"
    assert shop.catalogue.search_records("customers", {"external_id": "BEA"}, 0, 9)[1] == 1


def test_an_import_gives_numbers_that_nobody_had(shop: ShopService, browser: Client) -> None:
    before = {str(record["id"]) for record in shop.list_records("customers")}
    assert "3 customers changed." in change(browser, "import")
    assert set(numbers(shop)) == set(PEOPLE)
    assert not before & set(numbers(shop).values())
    assert shop.list_records("segments")[-1]["members"][:3] == [numbers(shop)[one] for one in PEOPLE]


def test_numbers_are_given_to_somebody_else(shop: ShopService, browser: Client) -> None:
    before = numbers(shop)
    assert "2 customers changed." in change(browser, "reuse")
    assert numbers(shop) == {PEOPLE[1]: before[PEOPLE[1]]}
    stranger = shop.catalogue.get_record("customers", before["BEA"])
    assert (stranger["external_id"], stranger["email"] != "bea@example.com") == (None, True)


def test_identities_are_emptied(shop: ShopService, browser: Client) -> None:
    assert "0 customers with an identity" in change(browser, "clear")
    assert numbers(shop) == {}
    assert len(shop.list_records("customers")) == 6


def test_an_unknown_change_is_refused(shop: ShopService, browser: Client) -> None:
    before = shop.list_records("customers")
    assert browser("POST", "/ids", data={"kind": "burn"}).status_code == 400
    assert shop.list_records("customers") == before
