"""Complete tasks in the console, from the first page to the last."""

import json
import re
from typing import Any
from urllib.parse import urljoin

import pytest
from django.db import connection

from sync.execution.executor import run_due_deliveries
from sync.models import Link
from tests.browser.conftest import LogIn
from tests.browser.driver.axe import prepare, violations
from tests.browser.driver.chromium import Browser
from tests.browser.stage.event_page import reveal_values
from tests.browser.stage.profile_page import TAKEN, save_email
from tests.support.compared_people import fill_systems, record_id, record_of
from tests.support.comparisons import people_route
from tests.support.hub import ANNA, Hub, new_sealing_key
from tests.support.jobs import run_jobs
from webhooks.models import Event

pytestmark = pytest.mark.submission

EVENTS = "/admin/webhooks/event/"


MENUS = {
    "support": {"Overview", "Events", "Held for approval", "Replays", "Requests", "Alarms"},
    "auditor": {"Overview", "Events", "Audit log", "Exports"},
    "administrator": {
        "Overview",
        "Events",
        "Sources",
        "Connections",
        "Audit log",
        "Erasures",
        "People",
        "Roles",
    },
}
ABSENT = {
    "support": {"Audit log", "Exports", "Erasures", "People", "Roles"},
    "auditor": {"Erasures", "People", "Roles"},
    "administrator": set(),
}
REFUSED = {
    "support": ("audit/entry/", "exports/export/", "auth/user/", "sync/erasure/", "webhooks/source/add/"),
    "auditor": ("auth/user/", "sync/erasure/", "sync/connection/add/", "sync/alarm/snooze/"),
    "administrator": ("exports/export/new/",),
}


@pytest.mark.parametrize("role", MENUS)
def test_each_role_sees_only_its_own(log_in: LogIn, hub: Hub, role: str) -> None:
    hub.change_email("taken@example.com")
    hub.post_signed({"id": "IDNUMBER1234", "entityType": "USER", "eventType": "UPDATE"})
    browser = log_in(role)
    browser.open("/admin/")
    shown = {label.strip() for label in browser.page.locator("#console-nav a").all_inner_texts()}
    assert shown >= MENUS[role]
    assert not shown & ABSENT[role]
    addresses = browser.run(
        "[...document.querySelectorAll('#console-nav a[href^=\"/\"]')].map(each => each.href)"
    )
    for address in addresses:  # what is shown opens
        browser.open(address)
        assert browser.complaints() == []
        assert browser.has("h1"), address
    for page in REFUSED[role]:
        answer = browser.page.goto(f"{browser.site}/admin/{page}")
        assert answer.status == 403, page
        assert [complaint for complaint in browser.complaints() if "403" not in complaint] == []
    browser.open(f"/admin/webhooks/event/{Event.objects.get().pk}/change/")
    assert "taken@example.com" not in browser.page.content()
    if role == "support":
        reveal_values(browser)
        assert "taken@example.com" in browser.page.content()
    assert browser.has("#reveal") is False
    assert browser.has("#content a[href$='/replay/'], #content form[action$='/replay/']") is (
        role != "auditor"
    )


def test_a_person_whose_address_is_taken_sees_the_reason_at_the_field(browser: Browser, hub: Hub) -> None:
    save_email(browser, hub, TAKEN)
    said_by = browser.find("#email[aria-invalid]").get_attribute("aria-describedby")
    assert browser.read(f"#{said_by}")
    assert browser.read("[role=alert] code")
    assert hub.customer()["email"] == "anna.aalto@example.com"


def test_support_find_the_event_see_what_changed_and_replay_it_with_a_reason(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("support")
    save_email(browser, hub, TAKEN)
    hub.change_email("anna.free@example.com")
    browser.open(EVENTS)
    browser.press("table.events tbody tr:first-child th a")
    assert "email ••• •••" in browser.read("table.change")
    reveal_values(browser)
    change = browser.read("table.change")
    assert f"email anna.aalto@example.com {TAKEN}" in change
    browser.press(".tools a[href$='/replay/']")
    assert [browser.overflow(width) for width in (1280, 390, 320)] == [None] * 3
    browser.narrow(1280)
    browser.type("[name=reason]", "She chose another address")
    browser.press("form[method=post] .primary")
    hub.wait_until_idle()
    browser.page.reload()
    assert browser.read(".attempt[open]").startswith("#2 Succeeded")
    lineage = browser.read("[aria-labelledby=lineage]")
    assert "by support" in lineage
    assert "“She chose another address”" in lineage
    assert "email anna.aalto@example.com anna.free@example.com" in browser.read(
        "[aria-labelledby^=delivery] table.change"
    )
    assert hub.customer()["email"] == "anna.free@example.com"


def test_the_auditor_downloads_the_events_finds_the_record_and_cannot_replay(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("auditor")
    save_email(browser, hub, "anna.new@example.com")
    browser.open(EVENTS)
    link = str(browser.find("a[href*=jsonl]").get_attribute("href"))
    lines = [json.loads(line) for line in fetched(browser, link).splitlines()]
    assert [line["entity_id"] for line in lines] == [ANNA]
    browser.press("table.events tbody tr:first-child th a")
    assert not browser.has(".tools a[href$='/replay/']")
    assert not browser.has("#reveal-reason")
    browser.open("/admin/audit/entry/")
    assert "download" in browser.read("table.entries")


def fetched(browser: Browser, link: str) -> str:
    """Return the body that the browser's session gets from this address."""
    answer = browser.context.request.get(urljoin(browser.address, link))
    assert answer.status == 200
    return answer.text()


def test_escape_leaves_the_search_and_returns_to_where_one_was(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("support")
    browser.open(EVENTS)
    is_in_search = "document.activeElement.matches('[data-search]')"
    is_on_brand = "document.activeElement.matches('#header .brand')"
    browser.page.focus("#header .brand")
    assert browser.run(is_on_brand)
    browser.page.keyboard.press("/")
    assert browser.run(is_in_search)
    browser.page.keyboard.type("anna")
    browser.page.keyboard.press("Escape")
    assert browser.run(is_on_brand)
    assert browser.run("document.querySelector('[data-search]').value") == "anna"


def test_support_find_a_person_by_what_the_caller_says_and_read_the_cause(
    log_in: LogIn, hub: Hub, settings: Any
) -> None:
    """Holds the way from the words of a caller to the cause of a failure: at most two clicks, without the event list."""
    settings.SEARCH_KEYS = [new_sealing_key()]
    browser = log_in("support")
    save_email(browser, hub, "anna.first@example.com")
    save_email(browser, hub, TAKEN)
    failed = Event.objects.latest("pk")
    assert failed.state == "dead"
    record = Link.objects.get().record_id
    said = [
        *("anna.first@example.com", "Anna Aalto", "040 1234567"),
        *(record, ANNA.lower(), failed.reference[-6:], failed.reference),
    ]
    clicks = {}
    for words in said:
        browser.open("/admin/")
        browser.page.keyboard.press("Control+k")
        browser.page.keyboard.type(words)
        browser.page.keyboard.press("Enter")
        browser.page.wait_for_url(re.compile("/entity/|/event/"))
        clicks[words] = 0
        if "/entity/" in browser.address:
            browser.press("#verdict a[href*='/change/'], table.timeline a[href*='/change/']")
            clicks[words] = 1
        assert "The shop responded" in browser.text, words
        assert browser.address.endswith(f"/{failed.pk}/change/"), words
    assert max(clicks.values()) <= 2
    browser.open("/admin/")
    browser.page.keyboard.press("/")
    browser.page.keyboard.type("nobody@example.com")
    browser.page.keyboard.press("Enter")
    browser.page.wait_for_selector("text=Nothing found")
    assert "nobody" not in browser.address


def test_several_people_of_one_name_are_an_accessible_list(log_in: LogIn, hub: Hub, settings: Any) -> None:
    settings.SEARCH_KEYS = [new_sealing_key()]
    body = {"username": "bea", "name": {"givenName": "Bea", "familyName": "Aalto"}}
    other = hub.identity.directory.create_record("users", body | {"emails": [{"address": "b@example.com"}]})[
        "id"
    ]
    for entity_id in (ANNA, str(other)):
        hub.post_signed({"id": entity_id, "entityType": "USER", "eventType": "UPDATE"}, f"msg-{entity_id}")
    hub.wait_until_quiet()
    browser = log_in("support")
    browser.open("/admin/")
    browser.type("#header [data-search]", "aalto")
    browser.page.keyboard.press("Enter")
    browser.page.wait_for_selector("#hits")
    assert [browser.overflow(width) for width in (1280, 390, 320)] == [None] * 3
    browser.narrow(1280)
    prepare(browser)
    assert violations(browser) == []
    browser.press("tr[data-row] a[href*=IDNUMBER]")
    assert browser.read("h1") == "Anna Aalto"


def test_support_find_a_difference_look_at_it_and_make_it_equal(log_in: LogIn, hub: Hub) -> None:
    with connection.cursor() as cursor:
        fill_systems(hub.identity, hub.shop, 3, cursor.execute)
    hub.shop.store.put_record("customers", record_id(1), record_of(1) | {"first_name": "Aino"})
    browser = log_in("support")
    pair = f"/admin/sync/comparison/route/{people_route().pk}/"
    browser.open(pair)
    compare_as_support(browser)
    assert "2 of 3" in browser.read("[aria-labelledby=result]")
    browser.press("[aria-labelledby=result] .actions a")
    browser.press("table.differences tbody th a")
    assert "first_name" in browser.read("[aria-labelledby=facts]")
    # The values are fetched at this moment, for a reason.
    assert "Aino" not in browser.page.content()
    browser.type("[aria-labelledby=open] [name=reason]", "She has another name in the shop")
    browser.press("[aria-labelledby=open] .primary")
    now = browser.read("[aria-labelledby=now]")
    assert "Aino" in now, now
    assert "Väinö" in now
    assert [browser.overflow(width) for width in (1280, 390, 320)] == [None] * 3
    browser.narrow(1280)
    browser.open(pair)
    browser.press("[aria-labelledby=result] .actions a")
    browser.press("[aria-labelledby=make-equal] .primary")
    browser.type("[name=reason]", "The shop has an old name")
    browser.press("form[method=post] .primary")
    for _ in range(4):
        run_jobs("event-set", "replay")
        run_due_deliveries()
    [record] = [one for one in hub.shop.list_records("customers") if str(one["id"]) == record_id(1)]
    assert record["first_name"] == "Väinö"
    browser.open(pair)
    compare_as_support(browser)
    assert "3 of 3" in browser.read("[aria-labelledby=result]")
    assert "No differences." in browser.read("[aria-labelledby=result]")


def compare_as_support(browser: Browser) -> None:
    """Press the button, let a worker compare, and open the page again."""
    browser.press(".tools button.primary")
    run_jobs("comparison")
    browser.page.reload()
