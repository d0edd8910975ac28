"""Alarms about comparisons: out of step, failed, late. Each begins and ends."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sync.models import Alarm, Comparison, Difference, Route
from sync.monitoring.alarm_texts import alarm_text
from sync.monitoring.alarms import evaluate_alarms
from tests.support.builders.alarms import open_kinds
from tests.support.builders.differences import a_comparison, a_difference
from tests.support.builders.history import NOON, a_route, a_source

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def compared(hours_ago: float, **values: Any) -> Comparison:
    at = NOON - hours_ago * HOUR
    route = Route.objects.first() or a_route(a_source())
    return a_comparison(route, **{"requested_at": at, "ended_at": at} | values)


def differs(hours_ago: float, kind: str = "differs", *, is_repaired: bool = False) -> None:
    """Store a comparison of an hour ago with a difference that is so many hours old."""
    comparison = compared(1, counts={kind: 1})
    a_difference(comparison, kind, "U1", since=NOON - hours_ago * HOUR, is_repaired=is_repaired)


def scheduled(hours: int | None, **values: Any) -> None:
    Route.objects.update(**{"compare_every_hours": hours} | values)


def failed_with_schedule(hours_ago: float) -> None:
    compared(hours_ago, state="failed")
    scheduled(24 * 365)


SITUATIONS: dict[str, tuple[Callable[[], object], list[str]]] = {
    "young_difference": (lambda: differs(24), []),
    "old_difference": (lambda: differs(24.1), ["out-of-step"]),
    "old_missing_record": (lambda: differs(25, "missing-record"), ["out-of-step"]),
    "old_entity_gone": (lambda: differs(25, "entity-gone"), ["out-of-step"]),
    "old_but_repaired": (lambda: differs(25, is_repaired=True), []),
    "unlinked_record": (lambda: differs(25, "unlinked-record"), []),
    "unknown_record": (lambda: differs(25, "unknown-record"), []),
    "out_of_scope": (lambda: differs(25, "out-of-scope"), []),
    "old_difference_of_a_disabled_route": (
        lambda: (differs(25), Route.objects.update(is_enabled=False)),
        [],
    ),
    "old_difference_that_a_later_comparison_lacks": (lambda: (differs(25), compared(0.5)), []),
    "old_difference_and_a_later_one_failed": (
        lambda: (differs(25), compared(0.5, state="failed")),
        ["comparison-failed", "out-of-step"],
    ),
    "failed_today": (lambda: compared(23.9, state="failed"), ["comparison-failed"]),
    "failed_long_ago": (lambda: compared(24.1, state="failed"), []),
    "failed_long_ago_with_a_schedule": (lambda: failed_with_schedule(24.1), ["comparison-failed"]),
    "failed_and_then_succeeded": (lambda: (compared(2, state="failed"), compared(1)), []),
    "failed_and_the_next_was_cancelled": (
        lambda: (compared(2, state="failed"), compared(1, state="cancelled")),
        ["comparison-failed"],
    ),
    "due_for_an_hour": (lambda: (compared(25), scheduled(24)), []),
    "due_for_longer": (lambda: (compared(25.1), scheduled(24)), ["comparison-late"]),
    "due_without_a_schedule": (lambda: (compared(100), scheduled(None)), []),
    "running_beyond_its_interval": (
        lambda: (compared(25.1, state="running"), scheduled(24)),
        ["comparison-late"],
    ),
    "never_compared_since_the_schedule_was_set": (
        lambda: (a_route(a_source()), scheduled(24, updated_at=NOON - 1.1 * HOUR)),
        ["comparison-late"],
    ),
    "just_scheduled": (lambda: (a_route(a_source()), scheduled(24, updated_at=NOON - HOUR)), []),
}


@pytest.mark.submission_rows(12)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_situation_of_comparisons_raises_exactly_its_alarms(situation: str) -> None:
    prepare, expected = SITUATIONS[situation]
    prepare()
    evaluate_alarms(NOON)
    assert open_kinds() == expected


def test_each_alarm_ends_with_its_reason_and_names_both_systems() -> None:
    """Holds the texts, the subject and the end of each alarm about comparisons."""
    differs(48)
    compared(30, state="failed")
    scheduled(24)
    Comparison.objects.filter(state="failed").update(ended_at=NOON - HOUR)
    evaluate_alarms(NOON)
    assert open_kinds() == ["comparison-failed", "comparison-late", "out-of-step"]
    route = Route.objects.get()
    alarms = {alarm.kind: alarm for alarm in Alarm.objects.all()}
    assert {alarm.subject for alarm in alarms.values()} == {f"route:{route.pk}"}
    assert {alarm.name for alarm in alarms.values()} == {"USER: Aurora ID → The shop"}
    out_of_step = alarm_text(alarms["out-of-step"])
    assert out_of_step.title == "USER: Aurora ID → The shop is out of step"
    assert "1 difference, known since 2026" in out_of_step.detail
    assert "the limit is 1 day" in out_of_step.detail
    evaluate_alarms(NOON + HOUR)
    assert len(open_kinds()) == 3
    Difference.objects.all().delete()
    compared(-1, counts={"in-step": 9})
    evaluate_alarms(NOON + 2 * HOUR)
    assert open_kinds() == []
    texts = {alarm.kind: alarm_text(alarm) for alarm in Alarm.objects.all()}
    assert all(text.next_step == "Nothing to do." for text in texts.values())
    assert "A later comparison found no difference" in texts["out-of-step"].detail


def test_the_age_of_differences_can_be_set_or_switched_off(settings: Any) -> None:
    differs(48)
    for limit, expected in ((0, []), (86_400 * 2, []), (86_400 * 2 - 1, ["out-of-step"])):
        settings.ALARM_OUT_OF_STEP_SECONDS = limit
        evaluate_alarms(NOON)
        assert open_kinds() == expected
