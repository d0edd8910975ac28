"""A change that is sent twice with the same key is made once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.shop import ShopService, idempotency
from tests.sandbox.client import Client

pytestmark = pytest.mark.pure

KEY = {"Idempotency-Key": "01K0KEY"}


def test_the_same_key_and_request_get_the_stored_answer_and_change_nothing(call_shop: Client) -> None:
    first = call_shop("PATCH", "/api/customers/4711", {"phone": "1"}, headers=KEY)
    call_shop("PATCH", "/api/customers/4711", {"phone": "2"})
    again = call_shop("PATCH", "/api/customers/4711", {"phone": "1"}, headers=KEY)
    assert (again.status_code, again.content) == (200, first.content)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert call_shop("GET", "/api/customers/4711").json()["phone"] == "2"


def test_a_refusal_is_repeated_too(call_shop: Client) -> None:
    body = {"email": "taken@example.com"}
    call_shop("PATCH", "/api/customers/4711", body, headers=KEY)
    again = call_shop("PATCH", "/api/customers/4711", body, headers=KEY)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (422, "true")


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


def test_of_many_requests_with_one_key_one_creates(shop: ShopService) -> None:
    def create(number: int) -> int:
        call = Client(shop.url, shop.token)
        return call("POST", "/api/customers", {"email": "n@example.com"}, headers=KEY).json()["id"]

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(create, range(24))) == {4716}


def test_a_key_is_forgotten_after_its_time(call_shop: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    call_shop("PATCH", "/api/customers/4711", {"phone": "1"}, headers=KEY)
    monkeypatch.setattr(idempotency, "RETENTION_SECONDS", -1)
    again = call_shop("PATCH", "/api/customers/4711", {"phone": "1"}, headers=KEY)
    assert "Idempotent-Replayed" not in again.headers
    assert again.json()["version"] == 3
