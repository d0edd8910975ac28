"""The page that changes customers behind the hub's back: by a seed, and only those that it names."""

import pytest

from sandbox.base.store import Record
from sandbox.shop import ShopService
from tests.sandbox.client import Client

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


def drift(shop: ShopService, **body: object) -> list[dict[str, object]]:
    answer = Client(shop.url)("POST", "/_sandbox/drift", body)
    assert answer.status_code == 200, answer.text
    changed: list[dict[str, object]] = answer.json()["changed"]
    return changed


def customers(shop: ShopService) -> dict[int, Record]:
    return {record["id"]: record for record in shop.list_records("customers")}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seed_changes_the_same_field_of_the_same_customers(shop: ShopService, seed: int) -> None:
    for number in range(20):
        shop.catalogue.create_record(
            "customers", {"external_id": f"P{number}", "email": f"p{number}@x.example"}
        )
    before = customers(shop)
    changed = drift(shop, number=7, seed=seed)
    after = customers(shop)
    fields = {
        key: [
            name
            for name in record
            if record[name] != before[key][name] and name not in ("updated_at", "version")
        ]
        for key, record in after.items()
        if record != before[key]
    }
    assert fields == {change["id"]: [change["field"]] for change in changed}
    assert len(changed) == 7
    assert all(before[key]["external_id"] for key in fields)
    assert shop.read_journal() == [], "nothing that the hub did"
    for key, record in before.items():
        shop.store.put_record("customers", str(key), record)
    assert drift(shop, number=7, seed=seed) == changed


def test_customers_are_deleted_and_added(shop: ShopService) -> None:
    before = customers(shop)
    [deleted] = drift(shop, kind="delete")
    added = drift(shop, kind="add", number=2)
    after = customers(shop)
    assert before.keys() - after.keys() == {deleted["id"]}
    assert after.keys() - before.keys() == {one["id"] for one in added}
    assert [one["external_id"] for one in added] == [None, None]


def test_the_page_is_linked_from_the_start_and_names_what_it_changed(shop: ShopService) -> None:
    browser = Client(shop.url)
    assert 'href="/drift"' in browser("GET", "/").text
    assert "Change a field" in browser("GET", "/drift").text
    before = customers(shop)
    page = browser("POST", "/drift", data={"kind": "change", "number": "1", "seed": "5"})
    [changed] = [record for key, record in customers(shop).items() if record != before[key]]
    assert page.status_code == 200
    assert "1 customer changed" in page.text
    assert f"<code>{changed['external_id']}</code>" in page.text


@pytest.mark.parametrize("form", [{"kind": "burn"}, {"number": "x"}, {"number": "10001"}, {"seed": "-1"}])
def test_what_it_does_not_know_is_refused(shop: ShopService, form: dict[str, str]) -> None:
    before = customers(shop)
    values = {"kind": "change", "number": "1", "seed": "1"} | form
    assert Client(shop.url)("POST", "/drift", data=values).status_code == 400
    assert customers(shop) == before
