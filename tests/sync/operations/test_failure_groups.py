"""One row for what failed for one reason at one system: counted, looked after, and open again when it fails again."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

import sync.operations.failure_groups
from audit.models import Entry
from sync.models import Delivery, FailureGroup, FailureGroupState
from sync.operations.failure_decisions import DecisionMaker, decide_group, update_notes
from sync.operations.failure_groups import GroupCount, must_reopen, refresh_failure_groups
from sync.operations.held_deliveries import DecisionRefused
from sync.operations.manual_closing import close_manually
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.builders.overviews import dead
from tests.support.database.query_plans import seeing

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def anna(database: None) -> DecisionMaker:
    return DecisionMaker(User.objects.create(username="anna"), "192.0.2.1")


def group() -> FailureGroup:
    refresh_failure_groups()
    return FailureGroup.objects.select_related("connection").get()


def fails_again(delivery: Delivery, seconds: float = 0.0) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(
        state="dead", code="target-rejected", settled_at=timezone.now() + timedelta(seconds=seconds)
    )


def test_what_failed_is_counted_by_reason_and_system() -> None:
    first, last = dead(30), dead(3)
    dead(1, "target-timeout")
    refresh_failure_groups()
    found = FailureGroup.objects.get(code="target-rejected")
    assert (found.number, found.state, found.connection) == (2, "open", first.commercial)
    assert (found.first_at, found.last_at) == (first.settled_at, last.settled_at)
    assert FailureGroup.objects.count() == 2
    close_manually([last.pk], by=User.objects.create(username="bo"), reason="done", key=uuid4())
    refresh_failure_groups()
    found.refresh_from_db()
    assert (found.number, found.first_at, found.last_at) == (1, first.settled_at, last.settled_at)


def test_a_look_that_began_earlier_overwrites_nothing() -> None:
    dead(30)
    refresh_failure_groups()
    dead(20)
    now = timezone.now()
    refresh_failure_groups(now)
    Delivery.objects.filter(state="dead").update(state="closed")
    refresh_failure_groups(now - timedelta(seconds=5))
    assert FailureGroup.objects.get().number == 2


def test_a_resolved_group_opens_by_itself_with_the_next_failure_only(anna: DecisionMaker) -> None:
    delivery = dead(30)
    decide_group(group(), FailureGroupState.RESOLVED, by=anna, reason="the price list is right now")
    refresh_failure_groups()
    assert FailureGroup.objects.get().state == FailureGroupState.RESOLVED, "what was seen then is not news"
    fails_again(delivery)
    refresh_failure_groups()
    assert FailureGroup.objects.get().state == FailureGroupState.OPEN
    entry = Entry.objects.get(action="failures.reopened")
    assert entry.actor == "system"


def test_a_failure_that_was_committed_unseen_opens_it_however_early_its_time_is(anna: DecisionMaker) -> None:
    """It ended a second before the decision, by the clock, and was not to be seen yet."""
    delivery = dead(30)
    found = group()
    decide_group(found, FailureGroupState.RESOLVED, by=anna, reason="mended")
    fails_again(delivery, seconds=-1)
    refresh_failure_groups()
    assert FailureGroup.objects.get().state == FailureGroupState.OPEN


@pytest.mark.parametrize(("days", "opens"), [(1, True), (None, False)])
def test_an_ignored_group_opens_when_its_time_is_over_or_never(
    anna: DecisionMaker, days: int | None, opens: bool
) -> None:
    delivery = dead(30)
    until = timezone.now() + timedelta(days=days) if days else None
    decide_group(group(), FailureGroupState.IGNORED, by=anna, reason="known", until=until)
    fails_again(delivery)
    refresh_failure_groups()
    assert FailureGroup.objects.get().state == FailureGroupState.IGNORED
    refresh_failure_groups(timezone.now() + timedelta(days=2))
    assert (FailureGroup.objects.get().state == FailureGroupState.OPEN) is opens


def test_a_decision_names_who_and_why_and_is_audited_without_the_words(anna: DecisionMaker) -> None:
    dead(30)
    decision = decide_group(group(), FailureGroupState.ACKNOWLEDGED, by=anna, reason="  I ask   Berit ")
    found = FailureGroup.objects.get()
    assert (found.state, found.owner) == ("acknowledged", anna.user)
    assert (decision.made_by, decision.reason) == (anna.user, "I ask Berit")
    entry = Entry.objects.get(action="failures.acknowledged")
    assert (entry.actor, entry.stream) == (f"person:{anna.user.pk}", found.stream)
    assert "Berit" not in entry.body
    assert "192.0.2.1" in entry.body


def test_of_two_who_decide_at_once_the_second_is_told(anna: DecisionMaker) -> None:
    dead(30)
    seen = group()
    decide_group(FailureGroup.objects.get(), FailureGroupState.RESOLVED, by=anna, reason="first")
    with pytest.raises(DecisionRefused, match="Someone else"):
        decide_group(seen, FailureGroupState.IGNORED, by=anna, reason="second")
    assert FailureGroup.objects.get().state == FailureGroupState.RESOLVED
    assert Entry.objects.filter(action__startswith="failures.").count() == 1


def test_a_decision_asks_for_a_reason_and_a_time_to_come(anna: DecisionMaker) -> None:
    dead(30)
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


def test_notes_are_kept_and_the_audit_log_says_that_they_changed(anna: DecisionMaker) -> None:
    dead(30)
    noted = {"owner_id": anna.user.pk, "note": "seen since Monday", "known_fix": "Ask Berit."}
    assert update_notes(group(), noted, by=anna)
    assert not update_notes(group(), noted, by=anna), "nothing changed, nothing on record"
    found = FailureGroup.objects.get()
    assert (found.owner, found.note, found.known_fix) == (anna.user, "seen since Monday", "Ask Berit.")
    entry = Entry.objects.get(action="failures.changed")
    assert '"changed":["owner","note","known_fix"]' in entry.body
    assert "Berit" not in entry.body


def test_a_hub_that_took_the_clock_for_what_was_seen_would_be_found_out(
    anna: DecisionMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken variant: everything before the decision counts as seen."""

    def by_the_clock(found: FailureGroup, now_found: GroupCount, now: Any) -> bool:
        decided = found.decisions.latest("pk").made_at
        return bool(now_found.last_at and now_found.last_at > decided)

    monkeypatch.setattr(sync.operations.failure_groups, "must_reopen", by_the_clock)
    delivery = dead(30)
    decide_group(group(), FailureGroupState.RESOLVED, by=anna, reason="mended")
    fails_again(delivery, seconds=-1)
    refresh_failure_groups()
    assert FailureGroup.objects.get().state == FailureGroupState.RESOLVED, "the variant misses it"
    assert must_reopen is not by_the_clock


def test_the_look_reads_the_index_on_what_is_dead_and_no_more() -> None:
    dead(30)
    for number in range(200):
        source = a_source()
        route = Delivery.objects.get(state="dead").route if number else a_route(a_source("x"))
        a_delivery(an_event(1000 + number, source=source), route)
    with seeing() as seen:
        refresh_failure_groups()
    asked = [each for each in seen if '"sync_delivery"' in each.sql]
    assert len(asked) == 2, "one for each side"
    with transaction.atomic():
        if connection.vendor == "postgresql":  # of a table as small as this it would read all
            connection.cursor().execute("SET LOCAL enable_seqscan = off")
        for each in asked:
            assert any("delivery_dead" in line for line in each.plan(connection))
