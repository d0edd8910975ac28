"""The journal of what was asked, as a checker reads it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from sandbox.base.request_journal import RequestJournal
from sandbox.shop import ShopService
from tests.sandbox.client import Client

pytestmark = pytest.mark.pure


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


def test_a_created_record_and_a_search_name_their_entity(shop: ShopService, call_shop: Client) -> None:
    call_shop("GET", "/api/customers?external_id=X9")
    call_shop("POST", "/api/customers", {"email": "n@example.com", "external_id": "X9"})
    search, create = shop.read_journal()
    assert search["entity"] == {"collection": "customers", "id": None, "external_id": "X9"}
    assert create["entity"] == {"collection": "customers", "id": 4716, "external_id": "X9"}


def test_it_can_be_read_from_a_number_on_and_for_writes_only(shop: ShopService, call_shop: Client) -> None:
    call_shop("GET", "/api/customers")
    call_shop("PATCH", "/api/customers/4711", {})
    call_shop("GET", "/api/customers")
    control = Client(shop.url)
    later = control("GET", "/_sandbox/journal?since=1").json()
    assert ([entry["n"] for entry in later["entries"]], later["last"]) == ([2, 3], 3)
    writes = control("GET", "/_sandbox/journal?writes=1").json()["entries"]
    assert [write["n"] for write in writes] == [2]
    assert control("DELETE", "/_sandbox/journal").status_code == 204
    call_shop("GET", "/api/customers")
    assert [request["n"] for request in shop.read_journal()] == [4]


def test_an_entry_is_there_before_a_fault_delays_it(shop: ShopService, call_shop: Client) -> None:
    shop.faults.add("slow", seconds=30)
    thread = threading.Thread(target=call_shop, args=("GET", "/api/customers"))
    thread.start()
    deadline = time.monotonic() + 20
    while not shop.read_journal() and time.monotonic() < deadline:
        time.sleep(0.005)
    (entry,) = shop.read_journal()
    assert (entry["ended"], entry["status"]) == (None, None)
    shop.faults.clear()
    thread.join(20)
    assert shop.read_journal()[0]["status"] == 200


def test_overlaps_can_be_computed(shop: ShopService, call_shop: Client) -> None:
    """Consecutive requests never overlap, simultaneous ones do."""
    for _ in range(20):
        call_shop("GET", "/api/customers/4711")
    entries = shop.read_journal()
    assert all(before["ended"] <= after["started"] for before, after in pairwise(entries))
    shop.faults.add("slow", seconds=0.2)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: Client(shop.url, shop.token)("GET", "/api/customers"), range(4)))
    together = shop.read_journal(since=20)
    assert max(request["started"] for request in together) < min(request["ended"] for request in together)


def test_it_is_bounded(shop: ShopService) -> None:
    journal = RequestJournal(limit=3)
    shop.request_journal = journal
    for _ in range(5):
        Client(shop.url)("GET", "/api/customers")
    assert [entry["n"] for entry in journal.list_entries()] == [3, 4, 5]
