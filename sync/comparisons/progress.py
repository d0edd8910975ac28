"""How far a comparison is, and how long it takes."""

from dataclasses import dataclass
from datetime import datetime

from sync.comparisons.list_gaps import previous_comparison
from sync.models import Comparison, ComparisonPhase, ComparisonState, Difference, DifferenceStatus


@dataclass(frozen=True, slots=True)
class ComparisonProgress:
    """What a comparison has done in its phase. `total`: None if it is not known; it may be as many as were read
    the last time.

    `per_second`: records and entities, None before the first ones; `seconds_left`: None if it is not known.
    """

    phase: ComparisonPhase
    done: int
    total: int | None
    per_second: float | None
    seconds_left: float | None


def measure_progress(comparison: Comparison, now: datetime) -> ComparisonProgress:
    """Return the progress of a comparison that runs."""
    phase = ComparisonPhase(comparison.phase)
    if phase == ComparisonPhase.CONFIRMING:
        left = _count_candidates(comparison)
        return ComparisonProgress(
            phase, max(0, comparison.to_confirm - left), comparison.to_confirm, None, None
        )
    totals = _expected_totals(comparison)
    is_of_records = phase == ComparisonPhase.RECORDS
    done, total = (
        (comparison.read_records, totals[0]) if is_of_records else (comparison.read_entities, totals[1])
    )
    per_second = _pace(comparison, now)
    return ComparisonProgress(phase, done, total, per_second, _seconds_left(comparison, totals, per_second))


def _count_candidates(comparison: Comparison) -> int:
    rows = Difference.objects.filter(comparison=comparison, status=DifferenceStatus.CANDIDATE)
    return rows.count()


def _expected_totals(comparison: Comparison) -> tuple[int | None, int | None]:
    """Return the number of records and of entities, as the systems say, else as the comparison before has read."""
    previous = previous_comparison(comparison)
    records = comparison.total_records or (previous.read_records if previous else None)
    return records or None, comparison.total_entities or (
        previous.read_entities if previous else None
    ) or None


def _pace(comparison: Comparison, now: datetime) -> float | None:
    read = comparison.read_records + comparison.read_entities
    if comparison.state != ComparisonState.RUNNING or comparison.started_at is None or not read:
        return None
    return read / max(1.0, (now - comparison.started_at).total_seconds())


def _seconds_left(
    comparison: Comparison, totals: tuple[int | None, int | None], per_second: float | None
) -> float | None:
    """Return the seconds until both sides are read: confirming depends on what is found."""
    records, entities = totals
    if comparison.phase != ComparisonPhase.RECORDS:
        records = comparison.read_records
    if not per_second or records is None or entities is None:
        return None
    left = max(0, records - comparison.read_records) + max(0, entities - comparison.read_entities)
    return left / per_second
