"""The journal of what both services were asked, and what outlives their process."""

from pathlib import Path

import pytest

from sandbox.shop import ShopService
from tests.sandbox.client import Client

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


def test_an_entry_has_the_whole_request_except_secrets(shop: ShopService, call_shop: Client) -> None:
    headers = {"Idempotency-Key": "K1", "X-Request-Id": "attempt-1"}
    call_shop("PATCH", "/api/customers/4711?a=1", {"phone": "1"}, headers=headers)
    (entry,) = Client(shop.url)("GET", "/_sandbox/journal").json()["entries"]
    assert entry["headers"]["Authorization"] == "(secret)"
    assert shop.token not in str(entry)
    expected = {
        "method": "PATCH",
        "path": "/api/customers/4711",
        "query": {"a": "1"},
        "key": "K1",
        "attempt": "attempt-1",
        "body": {"phone": "1"},
        "write": True,
        "status": 200,
        "fault": None,
        "entity": {"collection": "customers", "id": 4711, "external_id": "IDNUMBER1234"},
    }
    assert {name: entry[name] for name in expected} == expected
    assert entry["started"] <= entry["ended"]


def test_a_secret_in_a_token_request_is_not_kept(shop: ShopService) -> None:
    form = {"grant_type": "client_credentials", "client_id": "hub", "client_secret": shop.token}
    Client(shop.url)("POST", "/oauth/token", data=form)
    assert shop.token not in str(shop.read_journal())


KEY = {"Idempotency-Key": "K"}


def test_the_shop_starts_again_where_it_stopped(tmp_path: Path) -> None:
    with ShopService(data=tmp_path) as shop:
        call = Client(shop.url, shop.token)
        created = call("POST", "/api/customers", {"email": "n@example.com"}, headers=KEY)
        call("DELETE", "/api/customers/4712")
        before = shop.list_records("customers")
    with ShopService(data=tmp_path) as shop:
        call = Client(shop.url, shop.token)
        assert shop.list_records("customers") == before
        again = call("POST", "/api/customers", {"email": "n@example.com"}, headers=KEY)
        assert (again.content, again.headers["Idempotent-Replayed"]) == (created.content, "true")
        assert call("GET", "/api/customers?email=n@example.com").json()["total"] == 1
        assert call("POST", "/api/customers", {"email": "m@example.com"}).json()["id"] == 4717


def test_a_stopped_service_starts_again_on_its_port() -> None:
    shop = ShopService()
    shop.start()
    url = shop.url
    shop.stop()
    shop.start()
    assert (shop.url, Client(url, shop.token)("GET", "/api/customers").status_code) == (url, 200)
    shop.stop()
