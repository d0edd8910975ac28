"""Select the differences of a comparison that a request makes equal: begun in a request, resumed by a worker."""

from collections.abc import Collection
from functools import partial

from django.db.models import QuerySet

from sync.jobs.running_job import RunningJob
from sync.models import Difference, DifferenceStatus, PersonRequest
from sync.replays.entity_members import add_entity_members
from sync.replays.event_selection import BATCH_SIZE, fill_in_batches, lock_selection

# The parameter of a selection with the kinds of its differences, separated by spaces.
KINDS_PARAM = "kinds"


def selected_kinds(replay: PersonRequest) -> tuple[str, ...]:
    """Return the kinds of differences that a request was selected by; empty if they were chosen one by one."""
    return tuple((replay.filter or {}).get(KINDS_PARAM, "").split())


def differences_of(comparison: int | None) -> QuerySet[Difference]:
    """Select the differences of a comparison that have an entity and were checked, or have been left as they are."""
    rows = Difference.objects.filter(comparison=comparison).exclude(status=DifferenceStatus.CANDIDATE)
    return rows.exclude(entity_id="").order_by("pk")


def fill_from_differences(replay: PersonRequest, seconds: float, job: RunningJob) -> bool:
    """Add the differences of its kinds to a selection, as `fill_in_batches` does."""
    return fill_in_batches(replay, partial(_add_next_differences, replay), seconds, job)


def _add_next_differences(replay: PersonRequest) -> bool:
    """Add the next differences after the stored position. Returns True at the end. Raises JobLost if the selection was
    discarded.
    """
    lock_selection(replay)
    rows = differences_of(replay.comparison_id).filter(kind__in=selected_kinds(replay))
    batch = list(rows.filter(pk__gt=replay.cursor_id or 0)[:BATCH_SIZE])
    if batch:
        replay.cursor_id = batch[-1].pk
        replay.save(update_fields=["cursor_id"])
        add_entity_members(replay, batch)
    return len(batch) < BATCH_SIZE


def add_chosen_differences(replay: PersonRequest, rows: QuerySet[Difference], keys: Collection[int]) -> None:
    """Add these differences to a selection, in the transaction of the caller."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), BATCH_SIZE):
        add_entity_members(replay, list(rows.filter(pk__in=ordered[start : start + BATCH_SIZE])))
