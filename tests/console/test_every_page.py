"""Every address of the console, opened by each role: shown, or a plain 403."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, reverse

from tests.support.builders.console_rows import SUPPORT, rows
from tests.support.people import browser

pytestmark = pytest.mark.django_db

AUDITOR, ADMINISTRATOR = "auditor", "administrator"
ROLES = (SUPPORT, AUDITOR, ADMINISTRATOR)


def addresses(patterns: Any = None) -> Iterator[str]:
    for pattern in admin.site.get_urls() if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name


NOBODY: frozenset[str] = frozenset()
EVERYBODY = frozenset(ROLES)
ADMINISTRATORS = frozenset({ADMINISTRATOR})
AUDITING = frozenset({AUDITOR, ADMINISTRATOR})
ACTING = frozenset({SUPPORT, ADMINISTRATOR})

# A page of a model is named after it; these are the models whose rows people look at, and who may change them.
LOOKED_AT = {
    "webhooks_event": EVERYBODY,
    "webhooks_receipt": EVERYBODY,
    "webhooks_refusal": EVERYBODY,
    "webhooks_source": EVERYBODY,
    "sync_connection": EVERYBODY,
    "sync_route": EVERYBODY,
    "sync_mapping": EVERYBODY,
    "sync_delivery": EVERYBODY,
    "sync_replay": EVERYBODY,
    "sync_alarm": EVERYBODY,
    "sync_erasure": ADMINISTRATORS,
    "exports_export": AUDITING,
    "audit_entry": AUDITING,
    "auth_user": ADMINISTRATORS,
    "auth_group": ADMINISTRATORS,
    "logins_accessrequest": ADMINISTRATORS,
}
SET_UP = {"webhooks_source", "sync_connection", "sync_route", "auth_user", "auth_group"}
TABLE = {
    **{f"{name}_{page}": who for name, who in LOOKED_AT.items() for page in ("changelist", "change")},
    **{f"{name}_history": who & AUDITING for name, who in LOOKED_AT.items()},
    **{
        f"{name}_{page}": ADMINISTRATORS if name in SET_UP else NOBODY
        for name in LOOKED_AT
        for page in ("add", "delete")
    },
    "auth_user_delete": NOBODY,
    "sync_mapping_add": ADMINISTRATORS,
    **{f"sync_mapping_{way}": ADMINISTRATORS for way in ("edit", "try", "discard", "backtest", "activate")},
    **{f"sync_failuregroup_{page}": EVERYBODY for page in ("changelist", "change")},
    "sync_failuregroup_history": AUDITING,
    **{f"sync_failuregroup_{page}": NOBODY for page in ("add", "delete")},
    "webhooks_entity": EVERYBODY,
    "webhooks_entity_link": ACTING,
    "webhooks_event_close": ACTING,
    "sync_failuregroup_close_chosen": ACTING,
    "webhooks_event_reveal": {SUPPORT},
    "webhooks_receipt_reveal": {SUPPORT},
    "webhooks_source_format": {ADMINISTRATOR},
    "webhooks_source_capture": EVERYBODY,
    "webhooks_source_capture_reveal": {SUPPORT},
    **dict.fromkeys(
        ("index", "app_list", "preferences", "password_change", "password_change_done", "jsi18n"), EVERYBODY
    ),
    **dict.fromkeys(("reference", "reference_page", "reference_presets", "reference_schema"), EVERYBODY),
    "webhooks_event_view_save": EVERYBODY,
    "webhooks_event_view_remove": EVERYBODY,
    "webhooks_event_replay": ACTING,
    "webhooks_event_replay_new": ACTING,
    "sync_replay_confirm": ACTING,
    "sync_replay_members": EVERYBODY,
    **{
        f"sync_replay_{deed}": ACTING for deed in ("pause", "continue", "stop", "approve", "decline", "again")
    },
    "webhooks_event_download": AUDITING,
    "audit_entry_download": AUDITING,
    "audit_entry_sealing": AUDITING,
    "exports_export_new": {AUDITOR},
    "exports_export_cancel": {AUDITOR},
    "exports_export_download": {AUDITOR},
    "sync_alarm_snooze": ACTING,
    "sync_delivery_route": EVERYBODY,
    "sync_delivery_decide": ACTING,
    "sync_delivery_match": EVERYBODY,
    "sync_connection_test": ACTING,
    "sync_connection_try_now": ADMINISTRATORS,
    "sync_erasure_find": ADMINISTRATORS,
    "sync_erasure_request": ADMINISTRATORS,
    **{f"{name}_confirm": ADMINISTRATORS for name in ("webhooks_source", "sync_connection", "sync_route")},
    **{
        f"webhooks_source_{way}": ADMINISTRATORS
        for way in ("rotate", "end_secret", "pause", "resume", "test")
    },
    **{f"sync_route_{way}": ADMINISTRATORS for way in ("pause", "resume")},
    "auth_user_password_change": ADMINISTRATORS,
    "auth_user_unlock": ADMINISTRATORS,
    **{f"sync_failuregroup_{way}": ACTING for way in ("close", "decide", "note")},
}
# Of buttons: whoever logs in anew after pressing one comes to its address by GET.
BUTTONS = (
    *(f"sync_replay_{deed}" for deed in ("pause", "continue", "stop", "approve", "decline", "again")),
    *(f"sync_failuregroup_{way}" for way in ("close", "decide", "note")),
    "webhooks_source_test",
    "sync_connection_test",
    "sync_connection_try_now",
    "sync_mapping_backtest",
    "exports_export_cancel",
    "webhooks_event_reveal",
    "webhooks_receipt_reveal",
    "webhooks_source_capture_reveal",
    "webhooks_event_view_save",
    "webhooks_event_view_remove",
)
# Login and logout; and addresses of Django that this site does not serve.
OUTSIDE = {"login", "logout", "autocomplete", "view_on_site"}
# Their addresses need more than a row of one model: tested beside their own pages.
OUTSIDE |= {"sync_mapping_backtest_result", "sync_mapping_compare"}
OPENED = {200, 302, 404, 405}


def address_of(name: str, found: dict[str, Any]) -> str:
    """Return the address of a page with the keys of these rows."""
    label = next((label for label in found if name.startswith(f"{label}_")), "")
    key = found[label].pk if label else None
    ways: list[list[Any]] = [[], [key], [key, uuid4()], [uuid4()], [key, found["secret"].pk]]
    ways.append(["sync"])  # an application
    if name.startswith("reference_"):
        ways = [[], ["mapping"]]
    for arguments in [["csv"], *ways] if name.endswith(("event_download", "entry_download")) else ways:
        with contextlib.suppress(NoReverseMatch):
            return reverse(f"admin:{name}", args=arguments)
    raise AssertionError(f"{name}: say here which keys its address needs")


def test_every_address_is_in_the_table() -> None:
    assert set(addresses()) - OUTSIDE == set(TABLE), "say in the table who may open it"


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


@pytest.mark.slow
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


def test_dangling_references_are_found() -> None:
    page = '<a href="#a">1</a><a href="#b">2</a><p id="a"></p><details class="x" id="b"></details><label for="c">3</label>'
    assert dangling_references(page) == ["no #c", "closed #b"]
    assert dangling_references(page + '<p class="y" id="a">4</p>') == ["no #c", "closed #b", "twice #a"]


@pytest.mark.one_database
@pytest.mark.parametrize("name", BUTTONS)
def test_the_address_of_a_button_redirects_to_its_page(name: str) -> None:
    found, client = rows(), Client()
    client.force_login(found["superuser"])
    row = next(
        (found[label] for label in ("sync_replay", "exports_export") if name.startswith(f"{label}_")), None
    )
    address = reverse(f"admin:{name}", args=[row.uuid]) if row else address_of(name, found)
    answer = client.get(address, follow=True)
    assert answer.status_code == 200
    assert "This action needs the button. Nothing was changed; press it again." in answer.content.decode()
    assert [status for _, status in answer.redirect_chain] == [302]


@pytest.mark.slow
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
@pytest.mark.parametrize("role", ROLES)
def test_a_refusal_is_a_console_page_with_a_link_back(role: str) -> None:
    client = browser(role)
    for address, status, title in (
        ("/admin/webhooks/event/add/", 403, "Not allowed"),
        ("/admin/nothing/", 404, "Not found"),
    ):
        answer = client.get(address)
        page = answer.content.decode()
        assert answer.status_code == status
        assert f"<h1>{title}</h1>" in page
        assert 'id="console-nav"' in page
        assert 'href="/admin/"' in page
