"""The shop's records over HTTP."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox.shop import ShopService
from tests.sandbox.client import Client

pytestmark = pytest.mark.pure


def new_customer(call: Client, **members: Any) -> dict[str, Any]:
    answer = call("POST", "/api/customers", {"email": "new@example.com", **members})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_first_day_has_annas_record_under_her_identity(call_shop: Client) -> None:
    found = call_shop("GET", "/api/customers?external_id=IDNUMBER1234").json()
    assert found["total"] == 1
    assert found["items"][0] | {"created_at": "", "updated_at": ""} == {
        "id": 4711,
        "external_id": "IDNUMBER1234",
        "email": "anna.aalto@example.com",
        "first_name": "Anna",
        "last_name": "Aalto",
        "phone": "+358401234567",
        "language": "fi",
        "active": True,
        "segments": ["Regulars"],
        "created_at": "",
        "updated_at": "",
        "version": 1,
    }


def test_a_created_customer_gets_the_next_number_and_can_be_found_by_every_scalar_field(
    call_shop: Client, shop: ShopService
) -> None:
    highest = max(customer["id"] for customer in shop.list_records("customers"))
    record = new_customer(call_shop, external_id="X1", first_name="Outi", active=False)
    assert record["id"] == highest + 1
    for query in (
        "email=NEW@example.com",
        "external_id=X1",
        f"id={record['id']}",
        "first_name=outi&active=false",
    ):
        assert call_shop("GET", f"/api/customers?{query}").json() == {"items": [record], "total": 1}


def test_pages_of_a_list_do_not_overlap_and_hold_at_most_100(call_shop: Client) -> None:
    for number in range(101):
        new_customer(call_shop, email=f"c{number}@example.com")
    first = call_shop("GET", "/api/customers?limit=500").json()
    rest = call_shop("GET", "/api/customers?limit=500&offset=100").json()
    assert (len(first["items"]), first["total"]) == (100, 106)
    assert len({item["id"] for item in first["items"] + rest["items"]}) == 106


def test_patch_keeps_what_it_does_not_name_and_put_blanks_it(call_shop: Client) -> None:
    patched = call_shop("PATCH", "/api/customers/4711", {"first_name": "Annika"}).json()
    assert (patched["first_name"], patched["last_name"], patched["version"]) == ("Annika", "Aalto", 2)
    put = call_shop("PUT", "/api/customers/4711", {"email": "a@example.com"}).json()
    assert (put["first_name"], put["external_id"], put["segments"], put["active"]) == (None, None, [], True)
    assert put["version"] == 3
    assert put["updated_at"] >= patched["updated_at"]


def test_a_deleted_record_is_gone_and_its_number_is_never_used_again(call_shop: Client) -> None:
    number = new_customer(call_shop)["id"]
    assert call_shop("DELETE", f"/api/customers/{number}").status_code == 204
    assert call_shop("GET", f"/api/customers/{number}").status_code == 404
    assert call_shop("DELETE", f"/api/customers/{number}").status_code == 404
    assert new_customer(call_shop)["id"] == number + 1


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "code"),
    [
        ("PATCH", "customers/4711", {"email": "Taken@Example.com"}, "email", "duplicate"),
        ("POST", "customers", {"email": "taken@example.com"}, "email", "duplicate"),
        ("POST", "segments", {"name": "A", "members": ["4711", "9"]}, "members", "unknown_customer"),
        ("PATCH", "segments/4711", {"members": ["nobody"]}, "members", "unknown_customer"),
        ("POST", "documents", {"title": "A", "owner_id": "9"}, "owner_id", "unknown_customer"),
        ("POST", "customers", {"first_name": "Outi"}, "email", "required"),
        ("PATCH", "customers/4711", {"email": None}, "email", "required"),
        ("PATCH", "customers/4711", {"email": "anna at home"}, "email", "invalid"),
        ("PATCH", "customers/4711", {"shoe_size": 38}, "shoe_size", "unknown"),
        ("PATCH", "customers/4711", {"active": "yes"}, "active", "type"),
        ("PATCH", "customers/4711", {"segments": [1]}, "segments", "type"),
        ("PATCH", "customers/4711", {"first_name": "x" * 501}, "first_name", "too_long"),
        ("POST", "segments", {"description": "no name"}, "name", "required"),
        ("POST", "documents", {"title": "T", "size": True}, "size", "type"),
    ],
)
def test_a_wrong_field_is_refused_by_name_and_nothing_changes(
    shop: ShopService, call_shop: Client, method: str, path: str, body: Any, field: str, code: str
) -> None:
    before = [shop.list_records(collection) for collection in shop.collections]
    answer = call_shop(method, f"/api/{path}", body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["code"]) == (field, code)
    assert answer.json()["message"] == error["message"]
    assert [shop.list_records(collection) for collection in shop.collections] == before


def test_a_customer_may_change_the_case_of_their_address(call_shop: Client) -> None:
    answer = call_shop("PATCH", "/api/customers/4711", {"email": "Anna.Aalto@example.com"})
    assert answer.json()["email"] == "Anna.Aalto@example.com"


@pytest.mark.parametrize(
    ("method", "path", "raw", "status"),
    [
        ("PATCH", "/api/customers/4711", b"{", 400),
        ("PATCH", "/api/customers/4711", b"[]", 400),
        ("PATCH", "/api/customers/4711", b'{"first_name":"\\ud800"}', 400),
        ("POST", "/api/documents", b'{"title":"T","size":NaN}', 400),
        ("GET", "/api/customers?shoe_size=38", b"", 400),
        ("GET", "/api/customers?limit=-1", b"", 400),
        ("GET", "/api/orders", b"", 404),
        ("POST", "/api/customers/4711", b"{}", 405),
    ],
)
def test_an_invalid_request_gets_a_json_error_with_a_sentence(
    call_shop: Client, method: str, path: str, raw: bytes, status: int
) -> None:
    answer = call_shop(method, path, data=raw)
    assert answer.status_code == status
    assert answer.json()["message"].endswith(".")


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads change after every few instructions, so that a missing lock shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("eager_threads")
def test_of_many_clients_at_once_one_gets_the_address(tmp_path: Path) -> None:
    """On a file, whose writes let other threads run between the check and the record."""
    with ShopService(data=tmp_path) as shop:

        def create(number: int) -> int:
            call = Client(shop.url, shop.token)
            return call("POST", "/api/customers", {"email": "one@example.com"}).status_code

        with ThreadPoolExecutor(16) as pool:
            assert sorted(pool.map(create, range(32))) == [201] + [422] * 31


@pytest.mark.usefixtures("eager_threads")
def test_parallel_changes_of_one_record_are_all_counted(shop: ShopService) -> None:
    def change(number: int) -> int:
        answer = Client(shop.url, shop.token)("PATCH", "/api/customers/4711", {"phone": str(number)})
        return answer.json()["version"]

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(change, range(64))) == list(range(2, 66))


def test_reset_brings_the_first_day_back(shop: ShopService, call_shop: Client) -> None:
    call_shop("DELETE", "/api/customers/4711")
    shop.faults.add("error")
    assert Client(shop.url)("POST", "/_sandbox/reset").status_code == 204
    assert call_shop("GET", "/api/customers/4711").json()["email"] == "anna.aalto@example.com"
    assert new_customer(call_shop)["id"] == 4716
