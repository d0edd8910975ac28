"""Replays in a real browser: preview, confirmation of many with one rejection, progress that refreshes itself."""

import pytest

from sync.models import Replay, ReplayPace, ReplayState
from sync.replays import batches
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.browser.stage.event_page import reveal_values
from tests.support.builders.bulk_replays import fail_customers, fail_events, work_replay
from tests.support.hub import ANNA, Hub
from tests.support.jobs import run_jobs
from webhooks.models import Event

# With the browser's start it costs more than `make test` has; people, pages, repairs and refreshes stay in it.
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "EVENTS_PER_MINUTE", dict.fromkeys(ReplayPace, 60_000))


def test_a_failed_save_is_previewed_and_replayed(log_in: LogIn, hub: Hub) -> None:
    [event] = fail_events(hub, ANNA)
    address = hub.change_email("anna.free@example.com")
    browser = log_in("support")
    browser.open(f"/admin/webhooks/event/{event.pk}/replay/")
    reveal_values(browser)
    assert browser.read("ins.now") == address
    browser.type("[name=reason]", "the shop was down")
    browser.press("form[method=post] .primary")
    hub.wait_until_idle()
    event.refresh_from_db()
    assert event.state == "succeeded"
    assert hub.customer()["email"] == address


def test_many_with_one_refusal_inside_are_watched_to_their_end(log_in: LogIn, hub: Hub) -> None:
    fail_customers(hub, 7)
    hub.change_email("taken@example.com", "PERSON3")
    browser = log_in("support")
    browser.open("/admin/webhooks/event/replay/new/?state=dead")
    browser.press("form .primary")
    assert browser.read("h1") == "Replay 7 events"
    browser.type("[name=reason]", "the shop refused everybody")
    browser.press("form .primary")
    assert "Running" in browser.text
    work_replay(Replay.objects.get(), ReplayState.FINISHED)
    browser.find("text=Finished").wait_for()
    assert "6 succeeded" in browser.text
    assert "1 failed again" in browser.text
    browser.press(".parts a[href*='member=failed']")
    assert "PERSON3" in browser.text


@pytest.mark.parametrize("width", [1440, 390, 320])
def test_no_page_of_replays_scrolls_sideways(log_in: LogIn, hub: Hub, width: int) -> None:
    fail_customers(hub, 6)
    browser = log_in("support")
    event = Event.objects.first()
    for path in pages(browser, event):
        browser.open(path)
        assert browser.overflow(width) is None, path


def pages(browser: Browser, event: Event) -> list[str]:
    """Create two replays. Yields every page of replays, with content."""
    browser.open("/admin/webhooks/event/replay/new/?state=dead")
    browser.press("form .primary")
    confirm = browser.address
    browser.open("/admin/webhooks/event/replay/new/?state=dead")
    browser.press("form .primary")
    browser.type("[name=reason]", "a reason of some length, as people write them when they mean well")
    browser.press("form .primary")
    run_jobs("replay")
    replay = Replay.objects.exclude(state="chosen").get()
    return [
        f"/admin/webhooks/event/{event.pk}/replay/",
        "/admin/webhooks/event/replay/new/?state=dead",
        confirm,
        f"/admin/sync/replay/{replay.pk}/change/",
        f"/admin/sync/replay/{replay.uuid}/events/",
        "/admin/sync/replay/",
    ]
