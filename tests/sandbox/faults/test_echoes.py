"""The fault that repeats requests: in errors or in regular responses, encoded as configured."""

import base64
import json
from urllib.parse import unquote

import pytest

from sandbox.base.service import SandboxService
from sandbox.faults.echoes import ENCODINGS
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.sandbox.client import Client

pytestmark = pytest.mark.pure

ANNA = "/api/customers/4711"


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


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_can_be_chosen_by_the_api_and_on_the_page(
    shop: ShopService, call_shop: Client, encoding: str
) -> None:
    _enable_on_page(shop, encoding)
    by_page = call_shop("GET", ANNA).json()["message"]
    shop.faults.clear()
    assert (
        Client(shop.url)("POST", "/_sandbox/faults", {"kind": "echo", "encoding": encoding}).status_code
        == 201
    )
    assert call_shop("GET", ANNA).json()["message"] == by_page
    assert json.dumps(by_page)


def _enable_on_page(service: SandboxService, encoding: str) -> None:
    browser = Client(service.url)
    assert f"<option>{encoding}</option>" in browser("GET", "/faults").text
    assert browser("POST", "/faults", data={"kind": "echo", "encoding": encoding}).status_code == 303


@pytest.mark.parametrize(
    "fault", [{"kind": "echo", "encoding": "rot13"}, {"kind": "error", "encoding": "url"}]
)
def test_an_encoding_that_does_not_exist_is_refused(shop: ShopService, fault: dict[str, str]) -> None:
    assert Client(shop.url)("POST", "/_sandbox/faults", fault).status_code == 400
