"""Faults of both services, which occur only as configured."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from sandbox.shop import ShopService
from tests.sandbox.client import Client

pytestmark = pytest.mark.pure

PATH = "/api/customers/4711"
CHANGE = {"phone": "555"}


def phone(shop: ShopService) -> Any:
    record = shop.store.get_record("customers", "4711")
    assert record is not None
    return record["phone"]


def change(call: Client, **more: Any) -> requests.Response:
    return call("PATCH", PATH, CHANGE, **more)


@pytest.mark.parametrize(
    ("fault", "status", "words", "changed"),
    [
        ({"kind": "error"}, 500, "wrong on our side", False),
        ({"kind": "error", "status": 503, "retry_after": 7}, 503, "wrong", False),
        ({"kind": "error", "status": 520}, 520, "wrong", False),
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


def test_a_refusal_names_the_field_and_lets_reading_pass(shop: ShopService, call_shop: Client) -> None:
    shop.faults.add("refuse", sentence="Taken.", field="email")
    assert change(call_shop).json() == {
        "message": "Taken.",
        "errors": [{"field": "email", "code": "refused", "message": "Taken."}],
    }
    assert call_shop("GET", PATH).status_code == 200


@pytest.mark.parametrize("applied", [False, True])
def test_slow_delays_the_change_unless_it_is_applied_first(
    shop: ShopService, call_shop: Client, applied: bool
) -> None:
    shop.faults.add("slow", seconds=60, applied=applied)
    thread = threading.Thread(target=change, args=(call_shop,))
    thread.start()
    wait_until(lambda: bool(shop.read_journal()) and (not applied or phone(shop) == "555"))
    assert (phone(shop) == "555") == applied
    shop.faults.clear()
    thread.join(20)
    assert phone(shop) == "555"


def test_clearing_a_fault_releases_the_requests_that_it_delays(shop: ShopService, call_shop: Client) -> None:
    shop.faults.add("slow", seconds=60)
    threading.Timer(0.1, shop.faults.clear).start()
    started = time.monotonic()
    assert change(call_shop).status_code == 200
    assert 0.05 < time.monotonic() - started < 20


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
    got = [change(call_shop).status_code, change(call_shop).status_code, call_shop("GET", PATH).status_code]
    assert got == statuses


def test_slow_and_an_error_strike_together(shop: ShopService, call_shop: Client) -> None:
    shop.faults.add("slow", seconds=0.05)
    shop.faults.add("error", status=502)
    assert change(call_shop).status_code == 502
    entry = shop.read_journal()[-1]
    assert entry["fault"] == "slow+error"
    assert entry["ended"] - entry["started"] >= 0.05


def test_faults_are_listed_and_cleared_one_by_one_or_all(shop: ShopService) -> None:
    control = Client(shop.url)
    first = control("POST", "/_sandbox/faults", {"kind": "slow"}).json()["id"]
    control("POST", "/_sandbox/faults", {"kind": "garbage", "times": 2})
    assert control("DELETE", f"/_sandbox/faults/{first}").status_code == 204
    assert control("DELETE", f"/_sandbox/faults/{first}").status_code == 404
    (left,) = control("GET", "/_sandbox/faults").json()["faults"]
    assert (left["kind"], left["times"]) == ("garbage", 2)
    assert control("DELETE", "/_sandbox/faults").json() == {"cleared": 1}
    assert control("GET", "/_sandbox/faults").json() == {"faults": []}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"kind": "earthquake"},
        {"kind": "slow", "seconds": -1},
        {"kind": "slow", "seconds": True},
        {"kind": "error", "status": 200},
        {"kind": "error", "methods": "GET"},
        {"kind": "error", "path": "("},
        {"kind": "error", "times": 0},
        {"kind": "error", "id": 5},
        {"kind": "error", "sentance": "x"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(shop: ShopService, wrong: dict[str, Any]) -> None:
    assert Client(shop.url)("POST", "/_sandbox/faults", wrong).status_code == 400
    assert shop.faults.list_active() == []


def test_the_token_endpoint_and_the_controls_stay_well(shop: ShopService, call_shop: Client) -> None:
    shop.faults.add("error")
    form = {"grant_type": "client_credentials", "client_id": "hub", "client_secret": shop.token}
    assert call_shop("POST", "/oauth/token", data=form).status_code == 200
    assert call_shop("GET", "/_sandbox/journal").status_code == 200


def test_the_identity_service_reports_faults_in_its_own_format(identity: Any, call_identity: Client) -> None:
    identity.faults.add("error", status=503)
    answer = call_identity("GET", "/api/users/IDNUMBER1234")
    assert answer.json() == {"errorMessage": "Something went wrong on our side.", "statusCode": 503}


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)
