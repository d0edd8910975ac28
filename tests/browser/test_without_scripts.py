"""The console works without scripts: lists with filters, and the forms that scripts improve."""

from typing import Any

import pytest

from console.models import Preference, SavedView
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.support.builders.bulk_replays import fail_events, send_webhook
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, Source

pytestmark = pytest.mark.nightly

EVENTS = "/admin/webhooks/event/"
WHY = "they called about it"


@pytest.fixture
def options() -> dict[str, Any]:
    return {"java_script_enabled": False}


def send(browser: Browser, form: str = "#content form[method=post]", **values: str) -> None:
    """Fill in the first of these forms, and press its first button."""
    for name, value in values.items():
        browser.type(f"{form} [name={name}]", value)
    browser.press(f"{form} :is(button:not([type=button]), [type=submit])")


def refused_event(hub: Hub) -> Event:
    (event,) = fail_events(hub, ANNA)
    return event


def test_no_part_of_a_page_that_needs_a_script_is_shown(log_in: LogIn, hub: Hub) -> None:
    event = refused_event(hub)
    browser = log_in("administrator")
    source = Source.objects.get(slug="aurora")
    for page in (f"{EVENTS}{event.pk}/change/", f"/admin/webhooks/source/{source.pk}/change/"):
        browser.open(page)
        assert "Copy" not in browser.text
        assert browser.has("[data-needs-script]")
        assert not browser.find(".theme-toggle").is_visible()


def test_the_list_is_filtered_and_the_view_saved_shared_and_removed(log_in: LogIn, hub: Hub) -> None:
    refused_event(hub)
    send_webhook(hub, ANNA)
    browser = log_in("support")
    browser.open("/admin/preferences/")
    browser.find("[name=time_zone]").select_option("Europe/Helsinki")
    browser.press("#content form[method=post] [type=submit], #content form[method=post] button")
    assert Preference.objects.get().time_zone == "Europe/Helsinki"
    browser.open(EVENTS)
    browser.find(".chip summary:has-text('Status')").click()
    browser.press(".chip a:has-text('Failed')")
    browser.find(".chip summary:has-text('Received')").click()
    send(browser, ".chip form", received_from_local="2020-01-01T12:00", received_to_local="2999-01-01T00:00")
    assert "received_from=2020-01-01T10%3A00%3A00Z" in browser.address
    assert browser.page.locator("table.events tbody tr").count() == 1
    browser.find(".menu summary:has-text('Save this view')").click()
    browser.find("[name=is_shared]").check()
    send(browser, "form.save-view", name="Failed ones")
    assert SavedView.objects.get().is_shared
    browser.press(".tabs a:has-text('Failed ones')")
    browser.press("button:has-text('Remove this view')")
    assert not SavedView.objects.exists()


def test_contents_are_revealed_and_the_event_replayed(log_in: LogIn, hub: Hub) -> None:
    event = refused_event(hub)
    browser = log_in("support")
    browser.open(f"{EVENTS}{event.pk}/change/")
    browser.find("details:has(form[action$='/reveal/']) summary").click()
    send(browser, "form[action$='/reveal/']", reason=WHY)
    assert ANNA in browser.read("#payload")
    browser.press(".tools a[href$='/replay/']")
    send(browser, reason=WHY)
    hub.wait_until_idle()
    event.refresh_from_db()
    assert event.state == "succeeded"


def test_settings_are_shown_and_checked_before_they_are_saved(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("administrator")
    source = Source.objects.get(slug="aurora")
    browser.open(f"/admin/webhooks/source/{source.pk}/change/")
    assert "How occurred_at is written" not in browser.text
    browser.press("button[value='open /?more'][name='webhook_format:do']")
    assert "How occurred_at is written" in browser.read(".field-webhook_format")
    entry = "[name='webhook_format:v:/id']"
    browser.type(entry, "body[")
    browser.press("[name=_check]")
    assert "This must be a JMESPath expression." in browser.read(f".control:has({entry})")
    browser.type(entry, "body.id")
    browser.press("[name=_check]")
    assert "No errors found. Nothing was saved." in browser.text
    assert browser.find(entry).input_value() == "body.id"
    source.refresh_from_db()
    assert source.webhook_format == {}
