"""The pages of the console on the wire: each is compressed to at most 20 KB, and nothing else is compressed."""

import gzip
from collections.abc import Iterator

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.console.route_table import ROLES, address_of, pages_of
from tests.support.builders.console_rows import rows
from tests.support.builders.history import a_source, an_event, logged_in
from tests.support.people import browser

pytestmark = pytest.mark.django_db

MAX_BYTES = 20_000
LIST = "/admin/webhooks/event/"


def compressed(client: Client, address: str, **headers: str) -> HttpResponse:
    return client.get(address, headers={"Accept-Encoding": "gzip, br", **headers})  # type: ignore[return-value]


def heavy_pages(role: str) -> Iterator[str]:
    """Yield the pages of a role that are heavier than the limit."""
    found, client = rows(), browser(role)
    for route in pages_of(role):
        answer = compressed(client, address_of(route, found))
        size = 0 if answer.streaming else len(answer.content)
        if size > MAX_BYTES:
            yield f"{route}: {size:,} bytes"


@pytest.mark.submission
@pytest.mark.one_database
@pytest.mark.parametrize("role", ROLES)
def test_every_page_is_light_on_the_wire(role: str) -> None:
    assert list(heavy_pages(role)) == []


@pytest.mark.one_database
def test_a_full_list_is_light_on_the_wire_and_a_browser_can_read_it() -> None:
    source = a_source()
    for number in range(51):
        an_event(number, source=source, state="dead", code="target-rejected")
    answer = compressed(logged_in("support"), LIST)
    assert answer["Content-Encoding"] == "gzip"
    assert int(answer["Content-Length"]) == len(answer.content) <= MAX_BYTES
    assert gzip.decompress(answer.content).count(b"<tr") >= 50


@pytest.mark.one_database
def test_only_pages_that_the_own_site_asked_for_are_compressed() -> None:
    """Another site could otherwise guess what is on a page from its length."""
    source, support = a_source(), logged_in("support")
    an_event(1, source=source)
    assert compressed(support, LIST, **{"Sec-Fetch-Site": "same-origin"}).has_header("Content-Encoding")
    for answer in (
        compressed(support, LIST, **{"Sec-Fetch-Site": "cross-site"}),
        compressed(support, LIST, **{"Sec-Fetch-Site": "same-site"}),
        compressed(support, f"{LIST}download/csv/"),
        compressed(support, "/webhooks/aurora"),
        compressed(support, "/problems/target-rejected"),
    ):
        assert not answer.has_header("Content-Encoding"), answer
