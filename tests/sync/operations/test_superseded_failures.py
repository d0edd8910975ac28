"""A failure that a newer success has overtaken is settled, counted no more, and names what overtook it."""

import pytest

from exports.row_checks.nightly_rows import find_row_faults
from sync.deliveries.routes import resolved_routes
from sync.models import Delivery, Route
from sync.operations import superseded_failures
from sync.operations.superseded_failures import supersede_failures
from tests.support.builders.observing_routes import deliver
from tests.support.hub import ANNA, Hub
from tests.support.people import entries
from webhooks.models import Event, State


def post_update(hub: Hub, user: str = ANNA, **members: object) -> Delivery:
    """Post a signed webhook about a user. Returns its delivery."""
    hub.post_signed({"id": user, "entityType": "USER", "eventType": "UPDATE", **members})
    return Delivery.objects.order_by("-pk")[0]


def fail_once(hub: Hub) -> Delivery:
    """Post a webhook whose change the shop refuses. Returns the failed delivery."""
    fault = hub.shop.faults.add("refuse")
    hub.change_email("anna.first@example.com")
    failed = post_update(hub)
    hub.shop.faults.clear(fault.id)
    assert failed.state == State.DEAD
    return failed


def test_a_later_success_settles_an_earlier_failure(hub: Hub) -> None:
    failed, success = fail_once(hub), post_update(hub)
    assert success.state == State.SUCCEEDED
    assert supersede_failures() == 1
    failed.refresh_from_db()
    assert (failed.state, failed.covered_by.delivery_id) == (State.SUPERSEDED, success.pk)
    assert failed.event.state == State.SUPERSEDED
    [entry] = entries("delivery.superseded")
    assert entry["details"] == {"attempt": str(failed.covered_by.key)}
    assert supersede_failures() == 0


@pytest.mark.submission
def test_a_later_success_settles_a_held_match(hub: Hub) -> None:
    user, address = "MALLORY1", "grace.holloway@example.com"
    emails = [{"address": address, "verified": False}]
    hub.identity.directory.create_record("users", {"id": user, "username": "mallory", "emails": emails})
    held = post_update(hub, user)
    assert (held.state, supersede_failures()) == (State.HELD, 0)
    hub.change_email(address, user)  # now verified, so the next webhook binds the record
    success = post_update(hub, user)
    assert (success.state, supersede_failures()) == (State.SUCCEEDED, 1)
    held.refresh_from_db()
    assert (held.state, held.covered_by.delivery_id) == (State.SUPERSEDED, success.pk)
    assert held.settled_at is not None
    assert held.event.state == State.SUPERSEDED


def test_a_success_before_the_failure_settles_nothing(hub: Hub) -> None:
    post_update(hub)
    failed = fail_once(hub)
    assert supersede_failures() == 0
    failed.refresh_from_db()
    assert failed.state == State.DEAD


@pytest.mark.submission
def test_a_success_of_another_person_or_route_settles_nothing(hub: Hub) -> None:
    failed = fail_once(hub)
    emails = [{"address": "other@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": "OTHER1", "username": "other", "emails": emails})
    post_update(hub, "OTHER1")
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    assert Delivery.objects.order_by("-pk")[0].route_id != failed.route_id
    assert supersede_failures() == 0


def test_a_failure_of_relayed_data_stays(hub: Hub) -> None:
    Route.objects.filter(source__slug="aurora").update(relays=True)
    fault = hub.shop.faults.add("refuse")
    data = {"id": ANNA, "emails": [{"address": "anna.relayed@example.com", "verified": True}]}
    failed = post_update(hub, data=data)
    hub.shop.faults.clear(fault.id)
    Route.objects.update(relays=False)
    assert (failed.state, post_update(hub).state) == (State.DEAD, State.UNCHANGED)
    assert supersede_failures() == 0


@pytest.mark.submission
def test_each_run_checks_the_next_failures(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(superseded_failures, "_CHUNK", 1)
    fail_once(hub), fail_once(hub), post_update(hub)
    assert [supersede_failures() for _ in range(3)] == [1, 1, 0]
    assert not Event.objects.filter(state=State.DEAD).exists()


@pytest.mark.parametrize(
    ("kind", "state", "settled"),
    [("refuse", State.SUPERSEDED, 1), ("error", State.DEAD, 0)],
    ids=["refused", "perhaps written"],
)
def test_an_entity_outside_the_scope_settles_a_failure_that_wrote_nothing(
    hub: Hub, kind: str, state: str, settled: int
) -> None:
    """Holds that a creation whose response never came stays: a record may exist that nobody would look for."""
    Route.objects.update(max_attempts=1)
    emails = [{"address": "new@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": "NEW1", "username": "new", "emails": emails})
    fault = hub.shop.faults.add(kind, methods=["POST"], **({"status": 503} if kind == "error" else {}))
    failed = post_update(hub, "NEW1")
    hub.shop.faults.clear(fault.id)
    assert (failed.state, failed.attempts.get().action) == (State.DEAD, "created")
    Route.objects.update(mode="observe", condition="`false`")
    resolved_routes.invalidate()
    post_update(hub, "NEW1")
    deliver(hub)
    assert supersede_failures() == 0, "nothing is decided by a route that observes"
    Route.objects.update(mode="live")
    resolved_routes.invalidate()
    assert post_update(hub, "NEW1").code == "out-of-scope"
    assert supersede_failures() == settled
    failed.refresh_from_db()
    assert (failed.state, failed.event.state) == (state, state)
    assert list(find_row_faults()) == []
