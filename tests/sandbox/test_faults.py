"""Faults of both services, which occur only as configured."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pytest
import requests

from sandbox.base.service import SandboxService
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.sandbox.client import Client
from tests.support.http.webhook_receiver import Receiver

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


ANNA = "/api/customers/4711"
CHANGE = {"phone": "555"}


def phone(shop: ShopService) -> Any:
    record = shop.store.get_record("customers", "4711")
    assert record is not None
    return record["phone"]


def change(call: Client, **more: Any) -> requests.Response:
    return call("PATCH", ANNA, CHANGE, **more)


@pytest.mark.parametrize(
    ("fault", "status", "words", "changed"),
    [
        ({"kind": "error"}, 500, "wrong on our side", False),
        ({"kind": "error", "status": 503, "retry_after": 7}, 503, "wrong", False),
        ({"kind": "error", "applied": True}, 500, "wrong", True),
        ({"kind": "throttle", "retry_after": 7}, 429, "Too many", False),
        ({"kind": "refuse", "sentence": "Not <today>."}, 422, "Not <today>.", False),
        ({"kind": "garbage"}, 200, "<h1>", False),
        ({"kind": "after"}, 500, "wrong", True),
        ({"kind": "slow", "seconds": 0.05}, 200, "anna.aalto", True),
        ({"kind": "drip", "seconds": 0.0001}, 200, "anna.aalto", True),
    ],
)
def test_each_fault_gives_its_answer_and_makes_the_change_or_not(
    shop: ShopService, call_shop: Client, fault: dict[str, Any], status: int, words: str, changed: bool
) -> None:
    assert Client(shop.url)("POST", "/_sandbox/faults", fault).status_code == 201
    answer = change(call_shop)
    assert answer.status_code == status
    assert words in answer.text
    if fault.get("retry_after"):
        assert answer.headers["Retry-After"] == "7"
    assert (phone(shop) == "555") == changed
    assert shop.read_journal()[-1]["fault"] == fault["kind"]


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("kind", ["drop", "hang"])
def test_a_lost_response_applies_the_change_only_if_configured(
    shop: ShopService, call_shop: Client, kind: str, applied: bool
) -> None:
    shop.faults.add(kind, seconds=0.05, applied=applied)
    with pytest.raises(requests.ConnectionError):
        change(call_shop)
    assert (phone(shop) == "555") == applied
    assert shop.read_journal()[-1]["status"] is None


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ({"times": 1}, [500, 200, 200]),
        ({"methods": ["patch"]}, [500, 500, 200]),
        ({"path": "/api/customers/47"}, [500, 500, 500]),
        ({"path": "/api/segments"}, [200, 200, 200]),
        ({"probability": 0}, [200, 200, 200]),
    ],
)
def test_a_fault_affects_only_matching_requests(
    shop: ShopService, call_shop: Client, fault: dict[str, Any], statuses: list[int]
) -> None:
    shop.faults.add("error", **fault)
    got = [change(call_shop).status_code, change(call_shop).status_code, call_shop("GET", ANNA).status_code]
    assert got == statuses


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "earthquake"},
        {"kind": "slow", "seconds": -1},
        {"kind": "error", "path": "("},
        {"kind": "error", "sentance": "x"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(shop: ShopService, wrong: dict[str, Any]) -> None:
    assert Client(shop.url)("POST", "/_sandbox/faults", wrong).status_code == 400
    assert shop.faults.list_active() == []


def test_the_identity_service_reports_faults_in_its_own_format(identity: Any, call_identity: Client) -> None:
    identity.faults.add("error", status=503)
    answer = call_identity("GET", "/api/users/IDNUMBER1234")
    assert answer.json() == {"errorMessage": "Something went wrong on our side.", "statusCode": 503}


def test_a_request_is_repeated_in_each_part_of_an_error(shop: ShopService, call_shop: Client) -> None:
    shop.faults.add("echo", sentence="I saw: ")
    answer = call_shop("PATCH", ANNA, {"phone": "555"})
    problem = answer.json()
    assert answer.status_code == 422
    assert problem["message"].startswith("I saw: PATCH /api/customers/4711\n")
    for part in (problem["message"], problem["errors"][0]["message"], unquote(answer.headers["Location"])):
        assert "Authorization: " in part
    assert '"phone"' in problem["message"]
    assert shop.faults.clear() == 1
    assert call_shop("GET", ANNA).json()["version"] == 1


def test_a_request_is_repeated_in_a_regular_response(
    identity: IdentityService, call_identity: Client
) -> None:
    identity.faults.add("echo", encoding="base64", applied=True)
    entity = call_identity("GET", "/api/users/IDNUMBER1234").json()
    assert entity["id"] == "IDNUMBER1234"
    assert b"Authorization: " in base64.b64decode(entity["echo"])


@contextmanager
def switched_by_api(service: SandboxService, fault: dict[str, Any]) -> Iterator[None]:
    """Activate a fault by the control API, and end it at the end."""
    control = Client(service.url)
    answer = control("POST", "/_sandbox/faults", fault)
    assert answer.status_code == 201
    yield
    assert control("DELETE", f"/_sandbox/faults/{answer.json()['id']}").status_code == 204


def test_a_hidden_api_answers_404_to_everything(shop: ShopService, call_shop: Client) -> None:
    with switched_by_api(shop, {"kind": "hide"}):
        for method, path in (("GET", ANNA), ("GET", "/api/customers"), ("PATCH", ANNA), ("GET", "/api/x")):
            assert call_shop(method, path, {"phone": "1"}).status_code == 404
    assert call_shop("GET", ANNA).json()["version"] == 1


@pytest.mark.parametrize(
    ("stores", "sent", "stored"),
    [
        ("upper", "ab c", "AB C"),
        ("trimmed", " ab ", "ab"),
        ("digits", "+358 40", "35840"),
        ("nothing", "new", "+358401234567"),
    ],
)
def test_a_field_is_never_given_back_as_it_was_sent(
    shop: ShopService, call_shop: Client, stores: str, sent: str, stored: str
) -> None:
    with switched_by_api(shop, {"kind": "alter", "field": "phone", "stores": stores}):
        answer = call_shop("PATCH", ANNA, {"phone": sent, "first_name": "aNNa"})
        assert answer.status_code == 200
        assert call_shop("PATCH", ANNA, {"last_name": "aALTO"}).status_code == 200
        record = call_shop("GET", ANNA).json()
        assert (record["phone"], record["first_name"], record["last_name"]) == (stored, "aNNa", "aALTO")
        entry = shop.read_journal(only_writes=True)[0]
        assert (entry["body"]["phone"], entry["fault"]) == (sent, "alter")
    assert call_shop("PATCH", ANNA, {"phone": sent}).json()["phone"] == sent


def test_filters_are_ignored_but_pages_are_not(shop: ShopService, call_shop: Client) -> None:
    everything = len(shop.list_records("customers"))
    with switched_by_api(shop, {"kind": "unfiltered"}):
        found = call_shop("GET", "/api/customers?email=nobody@example.com&limit=2&offset=1").json()
        assert (found["total"], [item["id"] for item in found["items"]]) == (everything, [4712, 4713])
    assert call_shop("GET", "/api/customers?email=nobody@example.com").json()["total"] == 0


def test_ids_are_numbers_in_responses_and_in_webhooks(
    hub: Receiver, identity: IdentityService, call_identity: Client, browser: Client
) -> None:
    form = {"given_name": "Nea", "family_name": "Nurmi", "email": "nea@example.com"}
    with switched_by_api(identity, {"kind": "numeric"}):
        assert browser("POST", "/users", data=form).status_code == 303
        number = json.loads(hub.received[-1].body)["id"]
        assert isinstance(number, int)
        assert call_identity("GET", f"/api/users/{number}").json()["id"] == number
        assert call_identity("GET", "/api/users/IDNUMBER1234").json()["id"] == "IDNUMBER1234"
    assert call_identity("GET", f"/api/users/{number}").json()["id"] == str(number)


def test_no_address_is_verified(identity: IdentityService, call_identity: Client) -> None:
    path = "/api/users/IDNUMBER1234"
    with switched_by_api(identity, {"kind": "unverified"}):
        assert [email["verified"] for email in call_identity("GET", path).json()["emails"]] == [False]
    assert [email["verified"] for email in call_identity("GET", path).json()["emails"]] == [True]
