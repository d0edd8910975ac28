"""Faults that alter requests and responses: each can be switched on and off by the control API and by the page."""

import html
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from sandbox.base.service import SandboxService
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.sandbox.client import Client
from tests.support.http.webhook_receiver import Receiver

pytestmark = pytest.mark.pure

ANNA = "/api/customers/4711"
Switch = Callable[[SandboxService, dict[str, Any]], Any]


@contextmanager
def switched_by_api(service: SandboxService, fault: dict[str, Any]) -> Iterator[None]:
    """Activate a fault by the control API, and end it at the end."""
    control = Client(service.url)
    answer = control("POST", "/_sandbox/faults", fault)
    assert answer.status_code == 201
    yield
    assert control("DELETE", f"/_sandbox/faults/{answer.json()['id']}").status_code == 204


@contextmanager
def switched_by_page(service: SandboxService, fault: dict[str, Any]) -> Iterator[None]:
    """Activate a fault by a form of its page, see it in the banner, and end it by its button at the end."""
    browser = Client(service.url)
    assert browser("POST", "/faults", data=fault).status_code == 303
    (active,) = service.faults.list_active()
    assert active.description in html.unescape(browser("GET", "/journal").text)
    yield
    assert browser("POST", "/faults/clear", data={"id": str(active.id)}).status_code == 303
    assert "simulates faults" not in browser("GET", "/journal").text


@pytest.fixture(params=[switched_by_api, switched_by_page])
def switched(request: pytest.FixtureRequest) -> Switch:
    return request.param


def test_every_kind_can_be_chosen_on_the_page(shop: ShopService) -> None:
    page = Client(shop.url)("GET", "/faults").text
    for kind in ("late", "alter", "echo"):
        assert f'name="kind" value="{kind}"' in page
    for kind in ("hide", "forbid", "numeric", "unfiltered", "unverified"):
        assert f'<option value="{kind}">' in page


def test_a_hidden_api_answers_404_to_everything(
    shop: ShopService, call_shop: Client, switched: Switch
) -> None:
    with switched(shop, {"kind": "hide"}):
        for method, path in (("GET", ANNA), ("GET", "/api/customers"), ("PATCH", ANNA), ("GET", "/api/x")):
            assert call_shop(method, path, {"phone": "1"}).status_code == 404
    assert call_shop("GET", ANNA).json()["version"] == 1


def test_only_absent_records_are_forbidden(shop: ShopService, call_shop: Client, switched: Switch) -> None:
    absent = "/api/customers/1"
    with switched(shop, {"kind": "forbid"}):
        for method in ("GET", "PATCH", "DELETE"):
            assert call_shop(method, absent, {"phone": "1"}).status_code == 403
        assert call_shop("GET", ANNA).status_code == 200
        assert call_shop("GET", "/api/customers?email=nobody@example.com").json()["total"] == 0
    assert call_shop("GET", absent).status_code == 404


@pytest.mark.parametrize(
    ("stores", "sent", "stored"),
    [
        ("upper", "ab c", "AB C"),
        ("lower", "AB c", "ab c"),
        ("trimmed", " ab ", "ab"),
        ("digits", "+358 40", "35840"),
        ("nothing", "new", "+358401234567"),
    ],
)
def test_a_field_is_never_given_back_as_it_was_sent(
    shop: ShopService, call_shop: Client, switched: Switch, stores: str, sent: str, stored: str
) -> None:
    with switched(shop, {"kind": "alter", "field": "phone", "stores": stores}):
        answer = call_shop("PATCH", ANNA, {"phone": sent, "first_name": "aNNa"})
        assert answer.status_code == 200
        assert call_shop("PATCH", ANNA, {"last_name": "aALTO"}).status_code == 200
        record = call_shop("GET", ANNA).json()
        assert (record["phone"], record["first_name"], record["last_name"]) == (stored, "aNNa", "aALTO")
        entry = shop.read_journal(only_writes=True)[0]
        assert (entry["body"]["phone"], entry["fault"]) == (sent, "alter")
    assert call_shop("PATCH", ANNA, {"phone": sent}).json()["phone"] == sent


def test_values_that_are_no_text_and_bodies_that_are_no_object_are_left(
    shop: ShopService, call_shop: Client
) -> None:
    shop.faults.add("alter", field="active", stores="upper")
    assert call_shop("PATCH", ANNA, {"active": False}).json()["active"] is False
    for body in (b"", b"[]", b"{", b"[" * 100_000):
        assert call_shop("PATCH", ANNA, data=body).status_code == 400


def test_filters_are_ignored_but_pages_are_not(
    shop: ShopService, call_shop: Client, switched: Switch
) -> None:
    everything = len(shop.list_records("customers"))
    with switched(shop, {"kind": "unfiltered"}):
        found = call_shop("GET", "/api/customers?email=nobody@example.com&limit=2&offset=1").json()
        assert (found["total"], [item["id"] for item in found["items"]]) == (everything, [4712, 4713])
    assert call_shop("GET", "/api/customers?email=nobody@example.com").json()["total"] == 0


def test_ids_are_numbers_in_responses_and_in_webhooks(
    hub: Receiver, identity: IdentityService, call_identity: Client, browser: Client, switched: Switch
) -> None:
    form = {"given_name": "Nea", "family_name": "Nurmi", "email": "nea@example.com"}
    with switched(identity, {"kind": "numeric"}):
        assert browser("POST", "/users", data=form).status_code == 303
        number = json.loads(hub.received[-1].body)["id"]
        assert isinstance(number, int)
        assert call_identity("GET", f"/api/users/{number}").json()["id"] == number
        assert call_identity("GET", "/api/users/IDNUMBER1234").json()["id"] == "IDNUMBER1234"
    assert call_identity("GET", f"/api/users/{number}").json()["id"] == str(number)


def test_no_address_is_verified(identity: IdentityService, call_identity: Client, switched: Switch) -> None:
    path = "/api/users/IDNUMBER1234"
    with switched(identity, {"kind": "unverified"}):
        assert [email["verified"] for email in call_identity("GET", path).json()["emails"]] == [False]
    assert [email["verified"] for email in call_identity("GET", path).json()["emails"]] == [True]


def test_a_change_arrives_late_although_the_client_has_given_up(
    shop: ShopService, call_shop: Client, switched: Switch
) -> None:
    with switched(shop, {"kind": "late", "seconds": 60}):
        with pytest.raises(requests.Timeout):
            call_shop("PATCH", ANNA, {"phone": "late"}, timeout=0.05)
        # Reading is not delayed, and shows that nothing was written yet.
        assert call_shop("GET", ANNA).json()["phone"] == "+358401234567"
    deadline = time.monotonic() + 10
    while call_shop("GET", ANNA).json()["phone"] != "late":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_late_change_is_applied_after_its_time(shop: ShopService, call_shop: Client) -> None:
    shop.faults.add("late", seconds=0.1, times=1)
    began = time.monotonic()
    assert call_shop("PATCH", ANNA, {"phone": "late"}).status_code == 200
    assert time.monotonic() - began >= 0.1


def test_parts_combine_with_each_other_and_with_a_fault_that_replaces_the_response(
    shop: ShopService, call_shop: Client
) -> None:
    shop.faults.add("alter", field="phone", stores="upper")
    shop.faults.add("alter", field="language", stores="upper")
    shop.faults.add("late", seconds=0.01)
    shop.faults.add("after")
    assert call_shop("PATCH", ANNA, {"phone": "x", "language": "sv"}).status_code == 500
    assert shop.read_journal()[-1]["fault"] == "alter+alter+late+after"
    record = shop.catalogue.get_record("customers", "4711")
    assert (record["phone"], record["language"]) == ("X", "SV")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "alter"},
        {"kind": "alter", "field": "phone"},
        {"kind": "alter", "stores": "upper"},
        {"kind": "alter", "field": "phone", "stores": "sideways"},
        {"kind": "slow", "stores": "upper"},
    ],
)
def test_an_alteration_needs_its_field_and_form(shop: ShopService, wrong: dict[str, Any]) -> None:
    for answer in (
        Client(shop.url)("POST", "/_sandbox/faults", wrong),
        Client(shop.url)("POST", "/faults", data=wrong),
    ):
        assert answer.status_code == 400
    assert shop.faults.list_active() == []
