"""Hostile text is shown as text on every page: it creates no element, runs nothing and reverses nothing."""

import pytest

from devtools.sandbox_setup import UNSIGNED
from sync.models import Connection
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.browser.stage.event_page import reveal_values
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, Source

pytestmark = pytest.mark.submission

MARK = "<b data-hostile>bold</b>"
SCRIPT = "\"'><script data-hostile>window.hostile=1</script>"
ATTRIBUTE = "' data-hostile autofocus onfocus=window.hostile=1 x=\""
TURNS = "\u202e\u2066"
TURNED = f"{TURNS[0]}gnp.exe{TURNS[1]}"
TEMPLATE = "{{ 7|add:7 }}{% now 'Y' %}&lt;i data-hostile&gt;"
HOSTILE = f"{MARK} {SCRIPT} {ATTRIBUTE} {TURNED} {TEMPLATE}"

_SHOWN = """
() => {
  const fields = [...document.querySelectorAll("input, textarea")].map(field => field.value);
  document.querySelectorAll("details").forEach(part => part.open = true);
  return document.body.textContent + fields.join(" ");
}
"""


def assert_harmless(browser: Browser, text: str) -> None:
    """Assert that the page shows the text literally, and that none of it became markup."""
    shown = browser.run(_SHOWN)
    assert text in shown
    assert not browser.has("[data-hostile], [onfocus], [onerror]")
    assert browser.run("window.hostile === undefined")


@pytest.mark.promise("I17")
def test_a_hostile_name_is_shown_as_text(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("")
    browser.open(f"{hub.identity.url}/users/{ANNA}")
    browser.type("#family_name", HOSTILE)
    browser.press("form.fields button.primary")
    assert_harmless(browser, HOSTILE)
    for page in ("/users", f"/users/{ANNA}"):
        browser.open(hub.identity.url + page)
        assert_harmless(browser, HOSTILE)
    for page in ("/customers", f"/customers/{hub.customer()['id']}"):
        browser.open(hub.shop.url + page)
        assert_harmless(browser, HOSTILE)
    browser.open(f"/admin/webhooks/event/{Event.objects.get().pk}/change/")
    reveal_values(browser)
    assert_harmless(browser, HOSTILE)
    assert HOSTILE in browser.find("table.change").inner_text().replace("\n", "")


@pytest.mark.promise("I17")
def test_a_hostile_message_of_the_shop_is_shown_as_text(log_in: LogIn, hub: Hub) -> None:
    Connection.objects.filter(slug="shop").update(relays_sentences=True)
    hub.shop.faults.add("refuse", sentence=f"No: {HOSTILE}", field="email")
    browser = log_in("")
    browser.open(f"{hub.identity.url}/users/{ANNA}")
    browser.type("#email", "anna.new@example.com")
    browser.press("form.fields button.primary")
    relayed = "No: " + HOSTILE.replace(TURNS[0], "").replace(TURNS[1], "")
    assert_harmless(browser, relayed)
    browser.open(f"/admin/webhooks/event/{Event.objects.get().pk}/change/")
    assert_harmless(browser, relayed)


def test_every_allowed_character_of_an_id_works_in_links(log_in: LogIn, hub: Hub) -> None:
    Source.objects.filter(slug=UNSIGNED).update(extra_id_characters=":@|+=")
    name = "A.b_c~d-e:f@g|h+i=j" + "k" * 100
    hub.post(
        {
            "id": name,
            "entityType": "USER",
            "eventType": "UPDATE",
            "timestamp": "2026-07-15T09:12:00.123456789+03:00",
        }
    )
    hub.post({"id": "another", "entityType": "USER", "eventType": "UPDATE"})
    browser = log_in("")
    browser.open("/admin/webhooks/event/")
    browser.press(f"table.events a[href*='{name[:7]}']")
    rows = browser.page.locator("table.timeline tbody tr").all_inner_texts()
    assert len(rows) == 1
    assert_harmless(browser, name)
    browser.press("table.timeline tbody a")
    assert_harmless(browser, name)
    assert [browser.overflow(width) for width in (320, 390, 1280)] == [None] * 3
