"""An outage of 520 failed events, from its group to the last replay, in a browser.

Holds what no other test does: four clicks and one reason, the weight of the page, and that nothing is sent before the
system answers.
"""

import gzip
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from sync.execution.executor import run_due_deliveries
from sync.limits.circuit_breaker import invalidate_breakers
from sync.models import Breaker, Connection, Delivery, PersonRequest, PersonRequestState, ReplayPace, Route
from sync.operations.failure_groups import refresh_failure_groups
from sync.replays import batches
from tests.browser.conftest import LogIn
from tests.browser.driver.axe import prepare, violations
from tests.browser.driver.chromium import Browser
from tests.support.builders.bulk_replays import work_replay
from tests.support.builders.history import an_event
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from webhooks.models import Event, State

pytestmark = pytest.mark.submission
FAILED = 520
MAX_BYTES = 20_000


@pytest.fixture
def outage(hub: Hub) -> Route:
    """Return the route of 520 people whose changes the shop was too busy for within the last two hours."""
    route = Route.objects.get(entity_type="USER", source__slug="aurora")
    values = {"source": route.source, "state": State.DEAD, "code": "target-unavailable"}
    ends = {"route": route, "identity": route.identity, "target": route.target}
    for number in range(FAILED):
        name, at = f"PERSON{number}", timezone.now() - timedelta(seconds=10 * number)
        email = f"{name.lower()}@example.com"
        emails = [{"address": email, "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": name, "username": name.lower(), "emails": emails}
        )
        event = an_event(number, entity_id=name, received_at=at, **values)
        same = {"state": event.state, "code": event.code, "entity_type": "USER", "entity_id": name}
        Delivery.objects.create(event=event, settled_at=at, opened_at=at, **ends, **same)
    refresh_failure_groups()
    return route


def press(browser: Browser, css: str, clicks: list[str]) -> None:
    clicks.append(css)
    browser.press(css)


def test_an_outage_is_replayed_by_four_clicks_and_one_reason(
    log_in: LogIn, hub: Hub, outage: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "EVENTS_PER_MINUTE", dict.fromkeys(ReplayPace, 60_000))
    browser, clicks = log_in("administrator+support"), list[str]()
    browser.open("/admin/sync/failuregroup/")
    press(browser, "#content table a:has-text('The shop is unavailable')", clicks)
    assert "520 USER" in browser.read("#affected")
    assert_light_and_accessible(browser)
    press(browser, "button:has-text('Replay first one')", clicks)
    assert browser.find("[name=pace][value=first]").is_checked()
    browser.type("[name=reason]", "The shop was overloaded")
    press(browser, "form .primary", clicks)
    replay = work_replay(PersonRequest.objects.get(), PersonRequestState.PAUSED)
    assert (replay.succeeded, replay.waiting_count) == (1, FAILED - 1)
    Breaker.objects.update_or_create(
        connection=Connection.objects.get(pk=outage.target_id),
        defaults={"open_until": timezone.now() + timedelta(hours=1)},
    )
    browser.find("button:has-text('Resume when the system answers again')").wait_for()
    press(browser, "button:has-text('Resume when the system answers again')", clicks)
    assert "A system does not answer." in browser.text
    assert Event.objects.filter(state=State.DEAD).count() == FAILED - 1, "nothing is sent before"
    Breaker.objects.update(open_until=None)
    invalidate_breakers()
    until = time.monotonic() + 300
    while replay.state != PersonRequestState.FINISHED and time.monotonic() < until:
        run_jobs("replay")
        run_due_deliveries()  # those beyond the threads of this process, as a worker finds them
        replay.refresh_from_db()
    browser.find("text=520 succeeded").wait_for()
    assert len(clicks) == 4
    assert not Event.objects.filter(state=State.DEAD).exists()


def assert_light_and_accessible(browser: Browser) -> None:
    """Fail for more bytes than a page may have, compressed, or for a violation of axe-core."""
    assert len(gzip.compress(browser.page.content().encode())) <= MAX_BYTES
    browser.complaints()
    prepare(browser)
    assert violations(browser) == []
    browser.complaints()  # axe, too, offends the policy of the page
