"""Tasks of people: a person who changes an address, support who investigate it, the auditor who checks."""

import json
from urllib.parse import urljoin

import pytest

from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.browser.stage.event_page import reveal_values
from tests.browser.stage.profile_page import TAKEN, save_email
from tests.support.hub import ANNA, Hub

pytestmark = pytest.mark.slow

EVENTS = "/admin/webhooks/event/"


def test_a_person_who_saves_a_new_address_sees_that_the_shop_has_it(browser: Browser, hub: Hub) -> None:
    save_email(browser, hub, "anna.new@example.com")
    assert "The shop now uses your new e-mail address, too." in browser.read("[role=status]")
    assert not browser.has("[aria-invalid]")
    browser.open(f"{hub.shop.url}/customers")
    assert "anna.new@example.com" in browser.text
    assert "anna.aalto@example.com" not in browser.text


def test_a_person_whose_address_is_taken_sees_the_reason_at_the_field(browser: Browser, hub: Hub) -> None:
    save_email(browser, hub, TAKEN)
    said_by = browser.find("#email[aria-invalid]").get_attribute("aria-describedby")
    assert "already belongs to another customer" in browser.read(f"#{said_by}")
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
    assert "Replaying now." in browser.read(".messagelist")
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


def test_support_see_a_message_that_they_may_not_download(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("support")
    browser.open(EVENTS)
    assert not browser.has("a[download]")
    browser.open(f"{EVENTS}download/jsonl")
    assert "You don't have permission to see this page." in browser.text
    assert browser.complaints() == [
        "Failed to load resource: the server responded with a status of 403 (Forbidden)"
    ]


def test_the_auditor_downloads_the_events_finds_the_record_and_cannot_replay(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("auditor")
    save_email(browser, hub, "anna.new@example.com")
    browser.open(EVENTS)
    link = str(browser.find("a[download][href*=jsonl]").get_attribute("href"))
    lines = [json.loads(line) for line in fetched(browser, link).splitlines()]
    assert [line["entity_id"] for line in lines] == [ANNA]
    browser.press("table.events tbody tr:first-child th a")
    assert not browser.has(".tools a[href$='/replay/']")
    assert "Your role can't see payload contents." in browser.text
    browser.open("/admin/audit/entry/")
    assert "auditor finished a download" in browser.read("table.entries")


def fetched(browser: Browser, link: str) -> str:
    """Return the body that the browser's session gets from this address."""
    answer = browser.context.request.get(urljoin(browser.address, link))
    assert answer.status == 200
    return answer.text()
