"""Every address of the console, opened by each role: shown, or a plain 403."""

import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from tests.console.page_table import BUTTONS, ROLES, TABLE, address_of
from tests.support.builders.console_rows import rows
from tests.support.people import browser

pytestmark = pytest.mark.django_db

# Login and logout; and addresses of Django that this site does not serve.
OUTSIDE = {"login", "logout", "autocomplete", "view_on_site"}
# Their addresses need more than a row of one model: tested beside their own pages.
OUTSIDE |= {"sync_mapping_backtest_result", "sync_mapping_compare"}
OPENED = {200, 302, 404, 405}


def addresses(patterns: Any = None) -> Iterator[str]:
    for pattern in admin.site.get_urls() if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name


def test_every_address_is_in_the_table() -> None:
    assert set(addresses()) - OUTSIDE == set(TABLE), "say in the table who may open it"


@pytest.mark.promise("I17")
@pytest.mark.parametrize("role", ROLES)
def test_each_role_opens_its_pages_and_gets_a_plain_403_for_the_others(role: str) -> None:
    found, client = rows(), browser(role)
    wrong = []
    for name, who in TABLE.items():
        is_pressed = name in BUTTONS and role not in who  # by GET it leads back, which the next test is about
        address = address_of(name, found)
        answer = client.post(address) if is_pressed else client.get(address)
        is_open = answer.status_code in OPENED and "/login/" not in answer.get("Location", "")
        if is_open != (role in who) or (not is_open and answer.status_code != 403):
            wrong.append((name, answer.status_code))
    assert not wrong


@pytest.mark.nightly
@pytest.mark.one_database
@pytest.mark.parametrize("role", ROLES)
def test_references_within_a_page_are_not_dangling(role: str) -> None:
    found, client = rows(), browser(role)
    wrong = []
    for name in (page_name for page_name, who in TABLE.items() if role in who):
        answer = client.get(address_of(name, found))
        page = answer.content.decode() if answer.status_code == 200 and not answer.streaming else ""
        wrong += [(name, problem) for problem in dangling_references(page)]
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


@pytest.mark.one_database
def test_the_address_of_a_button_redirects_to_its_page() -> None:
    found, client = rows(), Client()
    client.force_login(found["superuser"])
    for name in BUTTONS:
        row = next(
            (found[label] for label in ("sync_replay", "exports_export") if name.startswith(f"{label}_")),
            None,
        )
        address = reverse(f"admin:{name}", args=[row.uuid]) if row else address_of(name, found)
        answer = client.get(address, follow=True)
        assert answer.status_code == 200, name
        assert [status for _, status in answer.redirect_chain] == [302], name
        assert [str(message.level_tag) for message in answer.context["messages"]] == ["warning"], name


@pytest.mark.nightly
@pytest.mark.one_database
@pytest.mark.parametrize("role", ROLES)
def test_no_page_links_to_a_page_that_the_role_may_not_open(role: str) -> None:
    found, client = rows(), browser(role)
    ways: dict[str, str] = {}
    for name in (page_name for page_name, who in TABLE.items() if role in who):
        answer = client.get(address_of(name, found))
        page = answer.content.decode() if answer.status_code == 200 and not answer.streaming else ""
        for way in re.findall(r'(?:href|action|formaction)="(/admin/[^"#]*)"', page):
            ways.setdefault(unescape(way), name)
    assert len(ways) > 30
    closed = [(ways[way], way) for way in ways if client.get(way).status_code == 403]
    assert not closed


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
