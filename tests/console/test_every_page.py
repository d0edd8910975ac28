"""Every route, opened by every kind of visitor: the answers are those of `route_table.txt`; and what all pages share."""

import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from tests.console.route_table import (
    METHODS,
    ROLES,
    VISITORS,
    address_of,
    pages_of,
    read_table,
    routes,
    visitors,
)
from tests.support.builders.console_rows import rows
from tests.support.people import browser

pytestmark = pytest.mark.django_db


def answer_of(client: Client, method: str, address: str) -> str:
    """Return the answer, and undo what the request did: a logout, too."""
    kept = {name: cookie.value for name, cookie in client.cookies.items()}
    undone = transaction.atomic()
    # As that of a test case: a transaction that must be the outermost one may begin in it.
    undone._from_testcase = True  # type: ignore[attr-defined]
    with undone:
        response = client.generic(method, address)
        transaction.set_rollback(True)
    client.cookies.clear()
    client.cookies.load(kept)
    if "/admin/login/" in response.get("Location", ""):
        return "login"
    return str(response.status_code)


@pytest.mark.one_database
def test_every_route_has_a_row_for_each_method_and_no_row_is_left_over() -> None:
    assert set(read_table()) == {(route, method) for route in routes() for method in METHODS}


@pytest.mark.promise("I17")
@pytest.mark.parametrize(
    ("method", "names", "opened_by"),
    [
        # A page is opened as one of those who may see it, and refused to all the others.
        ("GET", ("anonymous", *ROLES), 1),
        pytest.param("GET", ("anonymous", *ROLES), len(ROLES), marks=pytest.mark.submission),
        *(pytest.param(method, VISITORS, len(VISITORS), marks=pytest.mark.nightly) for method in METHODS),
    ],
)
def test_every_visitor_gets_the_answer_of_the_table(
    method: str, names: tuple[str, ...], opened_by: int
) -> None:
    table, clients, found, wrong = read_table(), visitors(names), rows(), []
    for place, route in enumerate(dict.fromkeys(routes())):
        address, opened = address_of(route, found), 0
        for name in sorted(names, key=lambda name: (names.index(name) + place) % len(names)):
            expected = table[route, method][VISITORS.index(name)]
            opened += expected == "200"
            if expected == "200" and opened > opened_by:
                continue
            if (seen := answer_of(clients[name], method, address)) != expected:
                wrong.append(f"{route}: {name} gets {seen} instead of {expected}")
    assert not wrong


def opened_pages(role: str) -> Iterator[tuple[str, str]]:
    """Yield the route and the HTML of each page of a role."""
    found, client = rows(), browser(role)
    for route in pages_of(role):
        answer = client.get(address_of(route, found))
        if not answer.streaming:
            yield route, answer.content.decode()


@pytest.mark.nightly
@pytest.mark.one_database
@pytest.mark.parametrize("role", ROLES)
def test_references_within_a_page_are_not_dangling(role: str) -> None:
    wrong = [(route, problem) for route, page in opened_pages(role) for problem in dangling_references(page)]
    assert not wrong


def dangling_references(page: str) -> list[str]:
    """Return the labels, descriptions and links of a page to elements that it does not have, links to elements that
    are closed, which would open nothing, and ids that it has twice, of which a link finds the first.
    """
    every_id = Counter(re.findall(r'\sid="([^"]+)"', page))
    ids = set(every_id)
    closed = set(re.findall(r'<details(?![^>]* open)[^>]*\sid="([^"]+)"', page))
    named = re.findall(r'\s(?:for|aria-describedby|aria-labelledby|aria-controls)="([^"]+)"', page)
    links = re.findall(r'\shref="#([^"]+)"', page)
    return [
        *(f"no #{key}" for keys in (*named, *links) for key in keys.split() if key not in ids),
        *(f"closed #{key}" for key in links if key in closed),
        *(f"twice #{key}" for key, number in every_id.items() if number > 1),
    ]


@pytest.mark.nightly
@pytest.mark.one_database
@pytest.mark.parametrize("role", ROLES)
def test_no_page_links_to_a_page_that_the_role_may_not_open(role: str) -> None:
    ways: dict[str, str] = {}
    for route, page in opened_pages(role):
        for way in re.findall(r'(?:href|action|formaction)="(/admin/[^"#]*)"', page):
            ways.setdefault(unescape(way), route)
    assert len(ways) > 30
    client = browser(role, "follower")
    closed = [(ways[way], way) for way in ways if client.get(way).status_code == 403]
    assert not closed


@pytest.mark.submission
@pytest.mark.one_database
def test_the_address_of_a_button_redirects_to_its_page() -> None:
    """Whoever logs in anew after pressing a button comes to its address by GET."""
    found, client = rows(), Client()
    client.force_login(found["superuser"])
    replay, event = found["sync_personrequest"], found["webhooks_event"]
    for address in (
        f"/admin/sync/personrequest/{replay.uuid}/stop/",
        f"/admin/sync/failuregroup/{found['sync_failuregroup'].pk}/decide/",
        f"/admin/webhooks/event/{event.pk}/reveal/",
        f"/admin/webhooks/source/{event.source_id}/test/",
        "/admin/webhooks/event/views/save/",
    ):
        answer = client.get(address, follow=True)
        assert answer.status_code == 200, address
        assert [status for _, status in answer.redirect_chain] == [302], address
        assert [str(message.level_tag) for message in answer.context["messages"]] == ["warning"], address


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("address", "status"), [("/admin/webhooks/event/add/", 403), ("/admin/nothing/", 404)]
)
def test_a_refusal_is_a_console_page_with_a_link_back(address: str, status: int) -> None:
    answer = browser("auditor").get(address)
    page = answer.content.decode()
    assert answer.status_code == status
    assert 'id="console-nav"' in page
    assert 'href="/admin/"' in page


@pytest.mark.one_database
@pytest.mark.parametrize(
    "address", ["/admin/nothing/", "/admin/webhooks/event/9/change/", "/static/nothing.css"]
)
def test_an_unknown_address_is_a_page_of_the_console_in_development_too(address: str, settings: Any) -> None:
    settings.DEBUG = True
    answer = browser("auditor").get(address)
    assert answer.status_code == 404
    page = answer.content.decode()
    assert "This page does not exist" in page
    assert "urlpatterns" not in page.lower().replace(" ", "")
    assert "DEBUG" not in page
