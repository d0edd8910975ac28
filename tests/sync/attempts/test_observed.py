"""Promise I30 for routes that observe: each delivery is planned, recorded and ended, and nothing else ever learns of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from exports.row_checks.nightly_rows import find_row_faults
from sync.deliveries.routes import resolved_routes
from sync.delivery_service import end_reported_retries
from sync.models import Attempt, Delivery, Finding, Link, Route
from sync.monitoring.conditions import AlarmLimits, find_conditions
from sync.monitoring.health_figures import measure_health
from sync.operations.superseded_failures import supersede_failures
from tests.support.builders.matched_records import MALLORY, STRANGER_EMAIL, a_user
from tests.support.builders.observing_routes import (
    deliver,
    ends,
    go_live,
    hold_cached_routes,
    observe,
    traces,
)
from tests.support.builders.references import LEAVE_OUT, MANAGER, set_field
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.processes.hub_processes import claim_last_isolated_attempt, expire_lease
from tests.support.rows import in_submission
from webhooks.models import Event, Source, State

pytestmark = [pytest.mark.concurrent, pytest.mark.promise("I30")]

UNSIGNED = "aurora-unsigned"


@dataclass(frozen=True)
class Situation:
    """A change at the identity service, its webhook, and what its observed delivery ends with."""

    change: Callable[[Hub], None]
    event_type: str = "UPDATE"
    user: str = ANNA
    code: str = "observed"
    found: str = ""
    action: str = ""


def nothing(_: Hub) -> None:
    """Leave the entity as it was applied."""


def change_address(hub: Hub) -> None:
    hub.change_email("anna.new@example.com")


def add_somebody(hub: Hub) -> None:
    a_user(hub, ("mallory@example.com", True))


def add_namesake(hub: Hub) -> None:
    a_user(hub, (STRANGER_EMAIL, False))


def delete_anna(hub: Hub) -> None:
    Route.objects.update(max_removals=0)
    hub.identity.directory.delete_record("users", ANNA)


def refuse_new_records(hub: Hub) -> None:
    add_somebody(hub)
    Route.objects.update(without_match=Route.NoMatchPolicy.REFUSE)


def require_manager(hub: Hub) -> None:
    set_field("USER", "manager", MANAGER)
    hub.identity.directory.update_record("users", ANNA, {"managerId": "NOBODY"}, replaces=False)


def wish_manager(hub: Hub) -> None:
    set_field("USER", "manager", MANAGER | LEAVE_OUT)
    hub.identity.directory.update_record("users", ANNA, {"managerId": "NOBODY"}, replaces=False)


def leave_out(hub: Hub) -> None:
    add_somebody(hub)
    Route.objects.update(condition="`false`")


def break_answers(hub: Hub) -> None:
    hub.identity.faults.add("garbage", times=1)


SITUATIONS = {
    "update": Situation(change_address, action="updated"),
    "nothing to change": Situation(nothing, action="none"),
    "creation": Situation(add_somebody, "CREATE", MALLORY, action="created"),
    "proven deletion beyond the guard": Situation(delete_anna, "DELETE", action="updated"),
    "unproven deletion": Situation(delete_anna, found="identity-missing-unproven", action="updated"),
    "undecided match": Situation(add_namesake, "UPDATE", MALLORY, found="held-match"),
    "no record": Situation(refuse_new_records, "UPDATE", MALLORY, "observed-failed", "no-match"),
    "outside the scope": Situation(leave_out, user=MALLORY, found="out-of-scope", action="none"),
    "missing reference": Situation(require_manager, code="observed-failed", found="reference-missing"),
    "reference that is left out": Situation(wish_manager, action="none"),
    "entity not committed yet": Situation(
        nothing, "CREATE", "NEWCOMER1", "observed-failed", "identity-missing", "none"
    ),
    "answer that cannot be read": Situation(break_answers, code="observed-failed", found="identity-garbled"),
}


GATE_ROWS = (
    "creation",
    "outside the scope",
    "proven deletion beyond the guard",
    "undecided match",
    "missing reference",
)


def make_due() -> None:
    now = timezone.now() - timedelta(seconds=1)
    Delivery.objects.filter(state=State.RETRYING).update(due_at=now, not_before=None)


def add_live_route() -> None:
    """Give the observing route to the other source, and its own source a live one with the same two connections."""
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    Route.objects.filter(source__slug=UNSIGNED, entity_type="USER").delete()
    Route.objects.filter(pk=route.pk).update(source=Source.objects.get(slug=UNSIGNED))
    route.pk, route.slug, route.mode = None, "", Route.Mode.LIVE
    route.save(force_insert=True)
    resolved_routes.invalidate()


@pytest.mark.parametrize("name", in_submission(SITUATIONS, but=GATE_ROWS))
def test_a_delivery_is_planned_and_leaves_no_trace(hub: Hub, name: str) -> None:
    """Holds, for each way in which a plan may end, that nothing is written, held, counted, awaited or checked again."""
    situation = SITUATIONS[name]
    assert hub.post_signed(EXAMPLE).status_code == 200
    situation.change(hub)
    observe()
    before = traces(hub)
    answer = hub.post_signed(
        {"id": situation.user, "entityType": "USER", "eventType": situation.event_type, "respond": "result"}
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "observed")
    deliver(hub)
    assert ends()[-1] == ("ignored", situation.code)
    event = Event.objects.latest("pk")
    assert (event.state, event.code) == ("ignored", situation.code)
    [attempt] = Attempt.objects.filter(delivery__event=event)
    found = (attempt.outcome, attempt.code, attempt.action, attempt.counted_as)
    assert found == ("ignored", situation.found or situation.code, situation.action, "")
    has_plan = bool(situation.action) or situation.found == "held-match"
    assert (attempt.stored_finding(Finding.CHANGE) is not None) == has_plan
    assert traces(hub) == before
    assert list(find_row_faults()) == []


def test_an_unreachable_system_is_retried_and_then_the_delivery_is_observed_as_failed(hub: Hub) -> None:
    """Holds that the retries are no failure to anybody: no alarm, no group, no other answer."""
    Route.objects.update(max_attempts=2, continues_after_failure=False)
    observe()
    hub.shop.faults.add("error", status=503)
    before = traces(hub)
    answer = hub.post_signed(EXAMPLE, "msg_unreachable")
    deliver(hub)
    assert ends() == [("retrying", "target-unavailable")]
    assert hub.post_signed(EXAMPLE, "msg_unreachable").content == answer.content
    with transaction.atomic():
        assert end_reported_retries(Event.objects.get()) == []
    make_due()
    late = measure_health(timezone.now() + AlarmLimits.from_settings().max_lateness * 2)
    assert late.due == 1
    assert find_conditions(late, AlarmLimits.from_settings()) == []
    deliver(hub)
    assert ends() == [("ignored", "observed-failed")]
    assert list(Attempt.objects.order_by("pk").values_list("outcome", "code")) == [
        ("failed", "target-unavailable"),
        ("ignored", "target-unavailable"),
    ]
    assert traces(hub) == before
    assert list(find_row_faults()) == []


@pytest.mark.parametrize("waits", [True, False], ids=["claimed when stored", "claimed later"])
def test_nothing_is_written_from_the_commit_on_that_lets_a_route_observe(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """Holds that the claim reads the row: this process has still cached that the route is live."""
    change_address(hub)
    hold_cached_routes(monkeypatch)
    observe()
    answer = hub.post_signed(
        {"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "respond": "result" if waits else "ack"}
    )
    deliver(hub)
    assert answer.json()["status"] == ("observed" if waits else "accepted")
    assert (hub.writes(), ends()) == ([], [("ignored", "observed")])


def test_what_was_observed_by_the_cache_is_written_once_the_route_is_live(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that a change which arrives in the second after the decision to go live is not lost."""
    change_address(hub)
    observe()
    hold_cached_routes(monkeypatch)
    go_live()
    assert hub.post_signed(EXAMPLE).json()["status"] == "observed"
    deliver(hub)
    assert ends() == [("succeeded", "succeeded")]
    assert len(hub.writes()) == 1


def test_a_retry_after_the_route_began_to_observe_writes_nothing(hub: Hub) -> None:
    change_address(hub)
    hub.shop.faults.add("error", status=503, methods=["PATCH"])
    Route.objects.update(continues_after_failure=True)
    assert hub.post_signed(EXAMPLE).status_code == 424
    hub.wait_until_quiet()
    hub.shop.faults.clear()
    observe()
    written = len(hub.writes())
    make_due()
    deliver(hub)
    assert ends() == [("ignored", "observed")]
    assert len(hub.writes()) == written


def test_a_delivery_that_ends_its_processes_is_observed_as_failed(hub: Hub) -> None:
    """Holds that the third death fails nothing on a route that observes."""
    observe()
    hub.post_signed(EXAMPLE)
    deliver(hub)
    delivery = Delivery.objects.get()
    claim_last_isolated_attempt(delivery)
    expire_lease(delivery.pk)
    assert ends() == [("ignored", "observed-failed")]
    assert Event.objects.values_list("state", "code").get() == ("ignored", "observed-failed")
    assert Attempt.objects.latest("pk").code == "crashes-hub"
    assert list(find_row_faults()) == []


def test_older_data_are_observed_as_no_change(hub: Hub) -> None:
    """Holds, for a route that relays, that a delivery which a live route would supersede plans nothing."""
    Route.objects.update(relays=True)
    person = {"id": ANNA, "emails": [{"address": "newer@example.com", "verified": True}]}
    body = {"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "data": person}
    assert hub.post_signed(body | {"timestamp": "2026-01-01T00:00:01Z"}).status_code == 200
    observe()
    hub.post_signed(body | {"timestamp": "2026-01-01T00:00:00Z"})
    deliver(hub)
    assert ends()[-1] == ("ignored", "observed")
    assert Attempt.objects.latest("pk").action == "none"


def test_an_observed_delivery_supersedes_nothing_and_is_not_newer(hub: Hub) -> None:
    """Holds that a failure of the route stays, and that an older change is delivered after an observed newer one."""
    hub.shop.faults.add("error", status=422)
    assert hub.post_signed(EXAMPLE).status_code == 422
    hub.shop.faults.clear()
    observe()
    hub.post_signed(EXAMPLE)
    deliver(hub)
    assert supersede_failures() == 0
    assert [state for state, _ in ends()] == ["dead", "ignored"]


def test_other_routes_of_a_subject_neither_wait_for_an_observing_one_nor_cover_it(hub: Hub) -> None:
    """Holds, for relayed deliveries, which run in order, that one which is retried on an observing route is in nobody's
    way; and that each delivery has the result of its own route.
    """
    Route.objects.update(relays=True, continues_after_failure=True)
    observe(source__slug="aurora")
    hub.shop.faults.add("error", status=503, times=1)
    person = {"id": ANNA, "emails": [{"address": "first@example.com", "verified": True}]}
    body = {"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "data": person}
    assert hub.post_signed(body).json()["status"] == "observed"
    deliver(hub)
    assert ends() == [("retrying", "target-unavailable")]
    add_live_route()
    assert hub.post_signed(body).status_code == 200
    assert [state for state, _ in ends()] == ["retrying", "succeeded"]
    make_due()
    applied = list(Link.objects.values_list("applied_at", flat=True))
    deliver(hub)
    assert ends() == [("ignored", "observed"), ("succeeded", "succeeded")]
    assert list(Link.objects.values_list("applied_at", flat=True)) == applied
    assert not Delivery.objects.exclude(covered_by=None).exists()
