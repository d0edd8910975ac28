"""With forced colours of the system, states and positions still differ, and the focus is visible."""

from typing import Any

import pytest

from sync.models import Connection, FailureGroup
from sync.operations.failure_groups import refresh_failure_groups
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.support.builders.bulk_replays import fail_events, send_webhook
from tests.support.hub import ANNA, Hub

pytestmark = pytest.mark.nightly

EVENTS = "/admin/webhooks/event/"
EDGED = ".pill, .notice, .button:not(.plain, .menu-items *), .card, .figure"
# Elements of the page that have no edge which differs from what is behind them.
_WITHOUT_EDGE = """
css => [...document.querySelectorAll(css)].filter(element => {
  const style = getComputedStyle(element), ground = getComputedStyle(document.body).backgroundColor;
  return parseFloat(style.borderTopWidth) < 1 || style.borderTopStyle === "none" || style.borderTopColor === ground;
}).map(element => element.outerHTML.slice(0, 90))
"""
# How the lower edge of each of these looks, for those that are current and for those that are not.
_LOOKS = """
([css, side]) => {
  const ground = getComputedStyle(document.body).backgroundColor;
  return [...document.querySelectorAll(css)].map(element => {
    const style = getComputedStyle(element), colour = style[`border${side}Color`];
    const shown = parseFloat(style[`border${side}Width`]) >= 2 && colour !== ground;
    return [element.hasAttribute("aria-current"), shown];
  });
}
"""
_FOCUS = """
() => {
  const element = document.activeElement;
  // The outline of a link that covers its row is that of the row.
  const style = getComputedStyle(element, element.matches("a.covers-row") ? "::after" : null);
  const ground = getComputedStyle(document.body).backgroundColor;
  return parseFloat(style.outlineWidth) >= 2
    && style.outlineStyle !== "none" && style.outlineColor !== ground;
}
"""


@pytest.fixture
def options() -> dict[str, Any]:
    return {"forced_colors": "active"}


@pytest.fixture
def browser_of_support(log_in: LogIn, hub: Hub) -> Browser:
    fail_events(hub, ANNA)
    send_webhook(hub, ANNA)
    refresh_failure_groups()
    return log_in("support")


def test_a_state_is_shown_by_text_symbol_and_border(browser_of_support: Browser, hub: Hub) -> None:
    browser = browser_of_support
    pages = (
        "/admin/",
        EVENTS,
        f"/admin/sync/failuregroup/{FailureGroup.objects.get().pk}/change/",
        f"/admin/sync/connection/{Connection.objects.earliest('pk').pk}/change/",
    )
    for page in pages:
        browser.open(page)
        assert browser.has(".pill"), page
        assert browser.run(_WITHOUT_EDGE, EDGED) == [], page
    browser.open(EVENTS)
    states = browser.page.locator("td.state").all_inner_texts()
    assert [state.split() for state in states] == [["✓", "Succeeded"], ["✕", "Failed"]]
    browser.press("table.events tbody tr:last-child th a")
    assert browser.run(_WITHOUT_EDGE, EDGED) == []


def test_only_current_items_are_marked(browser_of_support: Browser) -> None:
    browser = browser_of_support
    browser.open(f"{EVENTS}?state=retrying")
    for css, side in ((".tabs a", "Bottom"), ("#console-nav li a", "Left")):
        looks = browser.run(_LOOKS, [css, side])
        assert [shown for _, shown in looks] == [is_current for is_current, _ in looks]
        assert sum(shown for _, shown in looks) == 1


def test_every_focused_element_has_a_visible_focus(browser_of_support: Browser) -> None:
    browser = browser_of_support
    browser.open(EVENTS)
    stops = 0
    browser.page.keyboard.press("Tab")
    while browser.run("document.activeElement !== document.body"):
        assert browser.run(_FOCUS), browser.run("document.activeElement.outerHTML.slice(0, 120)")
        browser.page.keyboard.press("Tab")
        stops += 1
    assert stops > 25
