"""A target whose ids have changed is paused by the hub, after a few deliveries and before most of them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from audit.models import Entry
from sync.deliveries.routes import resolved_routes
from sync.models import AlarmKind, Connection, Delivery, Link
from sync.monitoring.conditions import AlarmLimits, find_conditions
from sync.monitoring.health_figures import measure_health
from sync.operations.ids_changed import pause_changed_targets
from sync.operations.pauses import enforce_pauses, resume_flow
from tests.support.changed_ids import change_ids, create_people, post_event
from tests.support.hub import ANNA, Hub
from webhooks.models import State

pytestmark = pytest.mark.concurrent


@pytest.fixture(autouse=True)
def _resumed(hub: Hub) -> Iterator[None]:
    """Resume the target after the test, and send what waits."""
    yield
    resume_flow(shop())
    Connection.objects.update(resumed_at=timezone.now() - timedelta(minutes=2))
    resolved_routes.invalidate()
    enforce_pauses()
    call_command("deliver_due")


def shop() -> Connection:
    return Connection.objects.get(slug="shop")


def paused_targets(hub: Hub) -> list[int]:
    """Check once the attempts have ended: a failed proof is noted after the answer."""
    hub.wait_until_quiet()
    return pause_changed_targets()


def open_alarms() -> list[tuple[str, str]]:
    conditions = find_conditions(measure_health(timezone.now()), AlarmLimits.from_settings())
    return [(str(one.kind), one.subject) for one in conditions if one.kind == AlarmKind.IDS_CHANGED]


@pytest.mark.promise("I26")
@pytest.mark.parametrize("kind", ["shift", "clear"])
def test_the_fifth_link_that_fails_the_proof_pauses_the_target(hub: Hub, kind: str) -> None:
    people = create_people(hub, 6)
    change_ids(hub, kind)
    for user in people[:4]:
        post_event(hub, user)
        # A second failure of the same link counts once.
        post_event(hub, user)
    assert (paused_targets(hub), open_alarms()) == ([], [])
    post_event(hub, people[4])
    assert paused_targets(hub) == [shop().pk]
    assert shop().has_changed_ids
    [entry] = Entry.objects.filter(action="connection.deliveries-paused")
    assert '"links":5' in entry.body
    assert open_alarms() == [("ids-changed", f"connection:{shop().pk}")]
    sent = len(hub.shop.read_journal())
    assert post_event(hub, people[5])[0] == 202
    assert len(hub.shop.read_journal()) == sent
    waiting = Delivery.objects.filter(entity_id=people[5]).latest("pk")
    assert (waiting.state, waiting.due_at) == (State.PENDING, None)


@pytest.mark.submission
def test_after_it_was_resumed_the_count_begins_anew(hub: Hub) -> None:
    people = create_people(hub, 6)
    change_ids(hub, "clear")
    for user in people[:5]:
        post_event(hub, user)
    assert paused_targets(hub)
    assert paused_targets(hub) == []
    resume_flow(shop())
    enforce_pauses()
    assert (paused_targets(hub), open_alarms()) == ([], [])
    post_event(hub, people[5])
    assert paused_targets(hub) == []
    assert Link.objects.filter(proof_failed_at__isnull=False).count() == 1


@pytest.mark.submission
def test_fewer_than_a_fifth_of_the_deliveries_pause_nothing(hub: Hub) -> None:
    people = create_people(hub, 6)
    change_ids(hub, "clear")
    for user in people[:5]:
        post_event(hub, user)
    # Of a person whose link has never shown the id.
    hub.shop.catalogue.update_record("customers", "4711", {"external_id": ANNA}, replaces=False)
    while Delivery.objects.count() < 26:
        assert post_event(hub, ANNA)[0] == 200
    assert paused_targets(hub) == []
    post_event(hub, people[5])
    assert paused_targets(hub) == [shop().pk]
