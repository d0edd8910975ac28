"""The shop: its records over HTTP, who may call it, conditional writes, and changes that are sent twice."""

from typing import Any

import pytest
import requests
from requests.auth import HTTPBasicAuth

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.sandbox.client import Client

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

ANNA = "/api/customers/4711"


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


def test_patch_keeps_what_it_does_not_name_and_put_blanks_it(call_shop: Client) -> None:
    patched = call_shop("PATCH", "/api/customers/4711", {"first_name": "Annika"}).json()
    assert (patched["first_name"], patched["last_name"], patched["version"]) == ("Annika", "Aalto", 2)
    put = call_shop("PUT", "/api/customers/4711", {"email": "a@example.com"}).json()
    assert (put["first_name"], put["external_id"], put["segments"], put["active"]) == (None, None, [], True)
    assert put["version"] == 3
    assert put["updated_at"] >= patched["updated_at"]


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "code"),
    [
        ("PATCH", "customers/4711", {"email": "Taken@Example.com"}, "email", "duplicate"),
        ("POST", "segments", {"name": "A", "members": ["4711", "9"]}, "members", "unknown_customer"),
        ("POST", "customers", {"first_name": "Outi"}, "email", "required"),
        ("PATCH", "customers/4711", {"email": "anna at home"}, "email", "invalid"),
        ("PATCH", "customers/4711", {"shoe_size": 38}, "shoe_size", "unknown"),
        ("PATCH", "customers/4711", {"active": "yes"}, "active", "type"),
        ("PATCH", "customers/4711", {"first_name": "x" * 501}, "first_name", "too_long"),
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


@pytest.mark.parametrize(
    ("method", "path", "raw", "status"),
    [
        ("PATCH", "/api/customers/4711", b"{", 400),
        ("PATCH", "/api/customers/4711", b'{"first_name":"\\ud800"}', 400),
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


def token_of(shop: ShopService, **form: str) -> requests.Response:
    return Client(shop.url)("POST", "/oauth/token", data={"grant_type": "client_credentials", **form})


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, 401),
        ({"headers": {"Authorization": "Bearer shop-token"}}, 200),
        ({"headers": {"Authorization": "Bearer shop-tokem"}}, 401),
        ({"headers": {"Authorization": "Basic !!!"}}, 401),
        ({"headers": {"X-Api-Key": "shop-token"}}, 200),
        ({"headers": {"X-Api-Key": "other"}}, 401),
        ({"auth": HTTPBasicAuth("anyone", "shop-token")}, 200),
        ({"auth": HTTPBasicAuth("anyone", "other")}, 401),
    ],
)
def test_the_shop_takes_one_secret_in_several_ways(
    shop: ShopService, more: dict[str, object], status: int
) -> None:
    answer = Client(shop.url)("GET", ANNA, **more)
    assert answer.status_code == status
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_client_credentials_in_the_form_or_the_header_give_a_token_that_opens_the_api(
    shop: ShopService,
) -> None:
    in_form = token_of(shop, client_id="hub", client_secret="shop-token").json()
    assert (in_form["token_type"], in_form["expires_in"]) == ("bearer", 3600)
    in_header = requests.post(
        f"{shop.url}/oauth/token",
        {"grant_type": "client_credentials"},
        auth=("hub", "shop-token"),
        timeout=60,
    ).json()
    for token in (in_form["access_token"], in_header["access_token"]):
        assert Client(shop.url, token)("GET", ANNA).status_code == 200
    shop.access.revoke_tokens()
    assert Client(shop.url, in_form["access_token"])("GET", ANNA).status_code == 401


def test_the_identity_service_refuses_without_its_token(identity: IdentityService) -> None:
    answer = Client(identity.url, "other")("GET", "/api/users/IDNUMBER1234")
    assert answer.status_code == 401
    assert answer.json() == {"errorMessage": "The token is missing or wrong.", "statusCode": 401}


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"headers": {"If-Match": '"1"'}}, 412),
        ({"headers": {"If-Match": '"2"'}}, 200),
        ({"params": {"version": "1"}}, 409),
        ({"params": {"version": "2"}}, 200),
        ({"json": {"version": 1}}, 409),
        ({"json": {"version": 2}}, 200),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_write_that_names_another_version_is_refused(
    call_shop: Client, method: str, more: dict[str, Any], status: int
) -> None:
    call_shop("PATCH", ANNA, {"last_name": "Aho"})
    body = None if method == "DELETE" else {"email": "anna@example.com"}
    if "json" in more:
        body = (body or {}) | more["json"]
    before = call_shop("GET", ANNA).json()
    answer = call_shop(method, ANNA, body, **{name: value for name, value in more.items() if name != "json"})
    assert answer.status_code == (204 if (method, status) == ("DELETE", 200) else status)
    if status != 200:
        assert answer.json()["message"] == "This record was changed since it was read."
        assert call_shop("GET", ANNA).json() == before


KEY = {"Idempotency-Key": "01K0KEY"}


def test_the_same_key_and_request_get_the_stored_answer_and_change_nothing(call_shop: Client) -> None:
    first = call_shop("PATCH", "/api/customers/4711", {"phone": "1"}, headers=KEY)
    call_shop("PATCH", "/api/customers/4711", {"phone": "2"})
    again = call_shop("PATCH", "/api/customers/4711", {"phone": "1"}, headers=KEY)
    assert (again.status_code, again.content) == (200, first.content)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert call_shop("GET", "/api/customers/4711").json()["phone"] == "2"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/customers/4711", {"phone": "2"}),
        ("PATCH", "/api/customers/4712", {"phone": "1"}),
        ("PUT", "/api/customers/4711", {"phone": "1"}),
    ],
)
def test_the_same_key_with_another_request_is_a_conflict(
    call_shop: Client, method: str, path: str, body: dict[str, str]
) -> None:
    call_shop("PATCH", "/api/customers/4711", {"phone": "1"}, headers=KEY)
    assert call_shop(method, path, body, headers=KEY).status_code == 409
