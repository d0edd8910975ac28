"""A page that refreshes itself stays consistent: its heading changes with its body."""

import pytest

from sync.models import Delivery
from tests.browser.conftest import LogIn
from tests.support.builders.bulk_replays import fail_events
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, State

pytestmark = pytest.mark.nightly

REPLAY, CLOSE = ".tools a[href$='/replay/']", ".tools a[href$='/close/']"


def test_the_heading_of_an_event_is_refreshed_with_its_body(log_in: LogIn, hub: Hub) -> None:
    [event] = fail_events(hub, ANNA)
    _put(State.PENDING, "")
    browser = log_in("support")
    browser.open(f"/admin/webhooks/event/{event.pk}/change/")
    assert browser.read("#event-state") == "○ Pending"
    assert not browser.has(CLOSE)
    browser.find(REPLAY).focus()
    _put(State.DEAD, "target-timeout")
    browser.find("#live:not([data-poll])").wait_for()
    assert browser.read("#event-state") == "✕ Failed"
    assert browser.has(f"{REPLAY}.primary:focus")
    assert browser.has(CLOSE)


def _put(state: State, code: str) -> None:
    for rows in (Event.objects, Delivery.objects):
        rows.update(state=state, code=code)


def test_a_page_says_that_it_is_no_longer_updated_after_a_logout(log_in: LogIn, hub: Hub) -> None:
    [event] = fail_events(hub, ANNA)
    _put(State.PENDING, "")
    browser = log_in("support")
    browser.open(f"/admin/webhooks/event/{event.pk}/change/")
    browser.context.clear_cookies()
    note = browser.find("#live > p[data-poll-note]:not(:empty)")
    note.wait_for()
    assert note.inner_text() == "Live updates stopped. You may be logged out; reload the page."
    _put(State.DEAD, "target-timeout")  # nothing delivers it
