"""Groups of failures with the same reason at the same system: counted, owned, and reopened by a new failure."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from audit.entries.acting_person import ActingPerson
from audit.models import Entry
from sync.models import Connection, Delivery, FailureCount, FailureGroup, FailureGroupState
from sync.operations.failure_decisions import decide_group, update_notes
from sync.operations.failure_groups import refresh_failure_groups
from sync.operations.held_deliveries import DecisionRefused
from sync.operations.manual_closing import close_manually
from sync.search.event_filter import resolve_filter
from sync.statistics.periodic_recount import recount_stale_hours
from tests.support.builders.history import a_delivery, a_route, an_event
from tests.support.builders.overviews import a_failed_delivery
from webhooks.models import Event

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def anna(database: None) -> ActingPerson:
    return ActingPerson(User.objects.create(username="anna"), "192.0.2.1")


def group() -> FailureGroup:
    refresh_failure_groups()
    return FailureGroup.objects.select_related("connection").get()


def fails_again(delivery: Delivery, seconds: float = 0.0) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(
        state="dead", code="target-rejected", settled_at=timezone.now() + timedelta(seconds=seconds)
    )


def test_failures_are_counted_by_reason_and_system() -> None:
    first, last = a_failed_delivery(30), a_failed_delivery(3)
    a_failed_delivery(1, "target-timeout")
    refresh_failure_groups()
    failure_group = FailureGroup.objects.get(code="target-rejected")
    assert (failure_group.number, failure_group.state, failure_group.connection) == (
        2,
        "open",
        first.target,
    )
    assert (failure_group.first_at, failure_group.last_at) == (first.settled_at, last.settled_at)
    assert FailureGroup.objects.count() == 2
    close_manually([last.pk], by=User.objects.create(username="bo"), reason="done", key=uuid4())
    refresh_failure_groups()
    failure_group.refresh_from_db()
    assert (failure_group.number, failure_group.first_at, failure_group.last_at) == (
        1,
        first.settled_at,
        last.settled_at,
    )


def test_failures_of_the_identity_service_are_one_group_of_its_connection() -> None:
    """Whatever the entity was fetched for: here for two targets."""
    for_shop = a_failed_delivery(1, "identity-unavailable")
    crm = Connection.objects.create(slug="crm", name="CRM", side="target", connector="rest-target")
    route, at = a_route(for_shop.event.source, target=crm), timezone.now()
    for number, code in ((4, "target-unavailable"), (2, "identity-unavailable")):
        for_crm = an_event(number, source=route.source, state="dead", code=code, received_at=at)
        a_delivery(for_crm, route, settled_at=at)
    a_failed_delivery(3, "target-unavailable")
    refresh_failure_groups()
    recount_stale_hours(seconds=60.0)
    expected = {
        ("aurora-id", "identity-unavailable", 2),
        ("shop", "target-unavailable", 1),
        ("crm", "target-unavailable", 1),
    }
    columns = ("connection__slug", "code", "number")
    assert set(FailureGroup.objects.values_list(*columns)) == expected
    assert {key[:2] for key in FailureCount.objects.values_list(*columns)} == {key[:2] for key in expected}
    words = {"state": "dead", "code": "identity-unavailable", "target": "aurora-id"}
    failures = resolve_filter(words, timezone.now()).apply_to(Event.objects.all())
    assert set(failures) == {for_shop.event, for_crm}


def test_a_count_that_began_earlier_overwrites_nothing() -> None:
    a_failed_delivery(30)
    refresh_failure_groups()
    a_failed_delivery(20)
    now = timezone.now()
    refresh_failure_groups(now)
    Delivery.objects.filter(state="dead").update(state="closed")
    refresh_failure_groups(now - timedelta(seconds=5))
    assert FailureGroup.objects.get().number == 2


def test_a_resolved_group_reopens_only_with_the_next_failure(anna: ActingPerson) -> None:
    delivery = a_failed_delivery(30)
    decide_group(group(), FailureGroupState.RESOLVED, by=anna, reason="the price list is right now")
    refresh_failure_groups()
    assert FailureGroup.objects.get().state == FailureGroupState.RESOLVED, "what was seen then is not news"
    fails_again(delivery)
    refresh_failure_groups()
    assert FailureGroup.objects.get().state == FailureGroupState.OPEN
    entry = Entry.objects.get(action="failures.reopened")
    assert entry.actor == "system"


def test_a_failure_committed_after_the_decision_reopens_the_group_despite_its_earlier_time(
    anna: ActingPerson,
) -> None:
    """It ended a second before the decision, but was not committed yet."""
    delivery = a_failed_delivery(30)
    failure_group = group()
    decide_group(failure_group, FailureGroupState.RESOLVED, by=anna, reason="mended")
    fails_again(delivery, seconds=-1)
    refresh_failure_groups()
    assert FailureGroup.objects.get().state == FailureGroupState.OPEN


@pytest.mark.parametrize(("days", "opens"), [(1, True), (None, False)])
def test_an_ignored_group_reopens_when_its_time_is_over_or_never(
    anna: ActingPerson, days: int | None, opens: bool
) -> None:
    delivery = a_failed_delivery(30)
    until = timezone.now() + timedelta(days=days) if days else None
    decide_group(group(), FailureGroupState.IGNORED, by=anna, reason="known", until=until)
    fails_again(delivery)
    refresh_failure_groups()
    assert FailureGroup.objects.get().state == FailureGroupState.IGNORED
    refresh_failure_groups(timezone.now() + timedelta(days=2))
    assert (FailureGroup.objects.get().state == FailureGroupState.OPEN) is opens


def test_a_decision_names_person_and_reason_and_is_audited_without_the_reason(anna: ActingPerson) -> None:
    a_failed_delivery(30)
    decision = decide_group(group(), FailureGroupState.ACKNOWLEDGED, by=anna, reason="  I ask   Berit ")
    failure_group = FailureGroup.objects.get()
    assert (failure_group.state, failure_group.owner) == ("acknowledged", anna.user)
    assert (decision.made_by, decision.reason) == (anna.user, "I ask Berit")
    entry = Entry.objects.get(action="failures.acknowledged")
    assert (entry.actor, entry.stream) == (f"person:{anna.user.pk}", failure_group.stream)
    assert "Berit" not in entry.body
    assert "192.0.2.1" in entry.body


def test_the_second_of_two_simultaneous_decisions_is_refused(anna: ActingPerson) -> None:
    a_failed_delivery(30)
    seen = group()
    decide_group(FailureGroup.objects.get(), FailureGroupState.RESOLVED, by=anna, reason="first")
    with pytest.raises(DecisionRefused, match="Someone else"):
        decide_group(seen, FailureGroupState.IGNORED, by=anna, reason="second")
    assert FailureGroup.objects.get().state == FailureGroupState.RESOLVED
    assert Entry.objects.filter(action__startswith="failures.").count() == 1


def test_a_decision_needs_a_reason_and_a_future_time(anna: ActingPerson) -> None:
    a_failed_delivery(30)
    with pytest.raises(DecisionRefused):
        decide_group(group(), FailureGroupState.RESOLVED, by=anna, reason=" ")
    with pytest.raises(DecisionRefused):
        decide_group(
            group(),
            FailureGroupState.IGNORED,
            by=anna,
            reason="x",
            until=timezone.now() - timedelta(seconds=1),
        )


def test_notes_are_stored_audited_and_never_overwrite_those_of_someone_else(anna: ActingPerson) -> None:
    a_failed_delivery(30)
    noted = {"owner_id": anna.user.pk, "note": "seen since Monday", "known_fix": "Ask Berit."}
    assert update_notes(group(), noted, by=anna)
    assert not update_notes(group(), noted, by=anna), "nothing changed, nothing on record"
    failure_group = FailureGroup.objects.get()
    assert (failure_group.owner, failure_group.note, failure_group.known_fix) == (
        anna.user,
        "seen since Monday",
        "Ask Berit.",
    )
    entry = Entry.objects.get(action="failures.changed")
    assert '"changed":["owner","note","known_fix"]' in entry.body
    assert f'"after":{{"owner":{anna.user.pk}}}' in entry.body
    assert '"before":{"owner":null}' in entry.body
    assert "Berit" not in entry.body
    FailureGroup.objects.update(note="newer")
    with pytest.raises(DecisionRefused):
        update_notes(failure_group, {"note": "older"}, by=anna)
    assert update_notes(failure_group, {"known_fix": "Restart it."}, by=anna)
    failure_group.refresh_from_db()
    assert (failure_group.note, failure_group.known_fix) == ("newer", "Restart it.")
