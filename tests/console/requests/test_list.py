"""The list of all requests: receipts and refusals in one order, page by page."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from console.requests import list_query
from console.requests.list_query import RequestFilter, fetch_requests, request_cursor
from console.requests.results import (
    RECEIPT_RESULTS,
    REFUSAL_RESULTS,
    RESULT_NAMES,
    SIGNATURE_REASON_NAMES,
    RequestResult,
    request_result,
)
from console.ui import keyset
from console.ui.keyset import PageRequest
from sync.statistics.periodic_recount import recount_stale_hours
from tests.support.builders.history import NOON, a_receipt, a_source, an_event, logged_in
from tests.support.builders.refusals import a_refusal
from tests.support.database.query_plans import find_unindexed_statements, recorded_statements
from webhooks.models import Receipt, Refusal
from webhooks.protocol.signature_reasons import SignatureReason

pytestmark = pytest.mark.django_db
LIST = "/admin/webhooks/receipt/"


def one_of_each(slug: str = "aurora", minutes: int = 0) -> dict[RequestResult, Any]:
    """Create a request of each result, each a second older than the one before."""
    at, source = NOON - timedelta(minutes=minutes), a_source(slug)
    times = [at - timedelta(seconds=number) for number in range(7)]
    event = an_event(source=source, received_at=times[0])
    unusable = {"code": "not-json", "status": 400, "source": source}
    return {
        RequestResult.ACCEPTED: a_receipt(event, received_at=times[0]),
        RequestResult.DUPLICATE: a_receipt(event, received_at=times[1], is_repeat=True),
        RequestResult.UNUSABLE: a_receipt(None, received_at=times[2], **unusable),
        RequestResult.NOT_VERIFIED: a_refusal(slug=slug, at=times[3], reason="old-timestamp"),
        RequestResult.OVER_LIMIT: a_refusal("too-many-requests", slug, at=times[4]),
        RequestResult.REFUSED: a_refusal("too-large", slug, at=times[5]),
        RequestResult.HANDSHAKE: a_refusal("handshake", slug, at=times[6], status=200),
    }


def rows(client: Client, query: str = "") -> list[Any]:
    return [row.row for row in client.get(LIST + query).context["page"].rows]


def test_all_requests_are_in_one_list_newest_first() -> None:
    expected = list(one_of_each().values())
    assert rows(logged_in("support")) == expected
    assert rows(logged_in("support"), "?order=oldest") == expected[::-1]


@pytest.mark.one_database
def test_each_result_and_reason_has_a_text() -> None:
    assert set(RESULT_NAMES) == set(RequestResult) == {*RECEIPT_RESULTS, *REFUSAL_RESULTS}
    assert set(SIGNATURE_REASON_NAMES) == set(SignatureReason)


@pytest.mark.submission
def test_requests_are_filtered_by_result_and_source() -> None:
    of, other, client = one_of_each(), one_of_each("other", minutes=1), logged_in("auditor")
    for result in RequestResult:
        assert rows(client, f"?result={result}") == [of[result], other[result]]
        assert rows(client, f"?result={result}&source=aurora") == [of[result]]
    assert rows(client, "?source=aurora") == list(of.values())
    chosen = [of[RequestResult.DUPLICATE], of[RequestResult.NOT_VERIFIED]]
    assert rows(client, "?result=duplicate,not-verified&source=aurora") == chosen
    assert rows(client, "?source=nobody") == []


@pytest.mark.submission
def test_requests_are_filtered_by_period() -> None:
    one_of_each()
    recent = a_receipt(None, received_at=timezone.now(), code="not-json")
    assert rows(logged_in("support"), "?received=1") == [recent]
    span = "received_from=2026-03-04T11:59:58Z&received_to=2026-03-04T12:00:00Z"
    assert len(rows(logged_in("support"), f"?{span}")) == 2
    assert len(rows(logged_in("support"), f"?{span}&source=aurora")) == 2


@pytest.mark.submission
def test_an_unusable_filter_shows_everything_with_a_message() -> None:
    one_of_each()
    client = logged_in("support")
    for query in ("?result=nothing", "?before=x", "?received=7", "?source=%00"):
        page = client.get(LIST + query)
        assert "Showing everything." in page.content.decode(), query
        assert len(page.context["page"].rows) == 7


def test_an_unknown_parameter_is_removed() -> None:
    assert logged_in("support").get(LIST + "?code=x&result=accepted")["Location"] == LIST + "?result=accepted"


@pytest.fixture
def _pages_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (keyset, list_query):
        monkeypatch.setattr(module, "PAGE_SIZE", 3)


def crowded_history() -> list[Any]:
    """Create requests of both tables, most of them of the same instant. Returns them in the order of the list."""
    found: list[Any] = []
    for number in range(7):
        at = NOON - timedelta(microseconds=number // 4)
        # Keys of both tables that are close to each other, whatever ran before.
        found.append(a_receipt(an_event(number, received_at=at), received_at=at, pk=1_000 + number))
        found.append(a_refusal(at=at, pk=1_000 + number))
    return sorted(
        found,
        key=lambda row: (request_cursor(row).at, request_cursor(row).pk),
        reverse=True,
    )


def walk(client: Client, query: str, way: str) -> Iterator[list[Any]]:
    """Yield the rows of each page, from this one on."""
    for _ in range(20):
        page = client.get(LIST + query)
        yield [row.row for row in page.context["page"].rows]
        links = re.findall(rf'href="(\?[^"]*{way}=[^"]*)"', page.content.decode())
        if not links:
            return
        query = unescape(links[0])
    raise AssertionError("the pages do not end")


@pytest.mark.submission
@pytest.mark.usefixtures("_pages_of_three")
@pytest.mark.parametrize("query", ["", "?source=aurora", "?result=accepted,not-verified"])
def test_pages_show_every_request_once_in_both_directions(query: str) -> None:
    expected, client = crowded_history(), logged_in("support")
    pages = list(walk(client, query, "before"))
    assert [row for page in pages for row in page] == expected
    assert {len(page) for page in pages[:-1]} == {3}
    last = request_cursor(expected[-1])
    query = f"{query}&before={last}" if query else f"?before={last}"
    back = list(walk(client, f"{query.replace('before', 'after')}", "after"))
    assert [row for page in back[::-1] for row in page] == expected[:-1]


def test_a_person_sees_only_tables_with_permission() -> None:
    of = one_of_each()
    user = User.objects.create_user("partly", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_receipt"))
    client = Client()
    client.force_login(user)
    assert [request_result(row) for row in rows(client)] == list(RECEIPT_RESULTS)
    assert "/admin/webhooks/event/" not in client.get(LIST).content.decode()
    assert client.get(f"/admin/webhooks/refusal/{of[RequestResult.REFUSED].pk}/change/").status_code == 403
    assert logged_in().get(LIST).status_code == 403


def test_the_former_list_of_refusals_leads_to_this_one() -> None:
    assert logged_in("support").get("/admin/webhooks/refusal/")["Location"] == LIST
    assert logged_in().get("/admin/webhooks/refusal/").status_code == 403


@pytest.mark.submission
def test_every_statement_on_receipts_finds_its_rows_by_an_index() -> None:
    for number in range(30):
        one_of_each(f"source-{number % 3}", minutes=number)
    place = PageRequest(before=request_cursor(Receipt.objects.latest("received_at")))
    for results in [(), *((result,) for result in RequestResult)]:
        for source in (None, a_source("source-1").pk):
            with recorded_statements() as statements:
                fetch_requests(RequestFilter(results, source), place)
            ours = [statement for statement in statements if '"webhooks_receipt"' in statement.sql]
            assert len(ours) <= 3
            assert find_unindexed_statements(connection, ours) == {}


def test_the_bad_signatures_of_a_source_link_to_exactly_its_refusals() -> None:
    row = a_refusal()
    a_refusal(slug="other")
    now = timezone.now()
    Refusal.objects.update(first_at=now, last_at=now)
    recount_stale_hours(seconds=60.0)
    support = logged_in("support")
    of = row.source
    assert of is not None
    page = support.get("/admin/webhooks/source/").content.decode()
    [link] = re.findall(rf'href="{LIST}([^"]*source={of.slug})"', page)
    assert [refusal.source for refusal in rows(support, unescape(link))] == [of]
