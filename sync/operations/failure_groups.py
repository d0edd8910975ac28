"""Group failed deliveries by code and connection: one row each, counted by the worker."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Max, Min, Q

from audit.entries.append import NewEntry, append_entries
from database.clock import read_clock
from sync.models import Delivery, FailureGroup, FailureGroupState
from sync.models.failure import split_by_responsible_side
from webhooks.models import State


@dataclass(frozen=True, slots=True)
class GroupCount:
    """The number of failed deliveries in one group, with the first and last failure."""

    number: int
    first_at: datetime | None
    last_at: datetime | None


_NO_FAILURES = GroupCount(0, None, None)


def refresh_failure_groups(now: datetime | None = None) -> None:
    """Count each group again, create new ones, and reopen those that failed again.

    Two statements read the indexes of failed deliveries, one reads the groups; then one for each group that changed.
    Safe at any time: a later count is not overwritten by an earlier one.
    """
    now = now or read_clock()
    counts = _count_dead()
    known = {(group.connection_id, group.code): group for group in FailureGroup.objects.all()}
    new = [
        FailureGroup(
            connection_id=connection,
            code=code,
            number=count.number,
            first_at=count.first_at or now,
            last_at=count.last_at or now,
            counted_at=now,
        )
        for (connection, code), count in counts.items()
        if (connection, code) not in known
    ]
    # Another worker may create the same groups.
    FailureGroup.objects.bulk_create(new, ignore_conflicts=True)
    for key, group in known.items():
        _update_group(group, counts.get(key, _NO_FAILURES), now)


def _count_dead() -> dict[tuple[int, str], GroupCount]:
    counts = {}
    for dead in split_by_responsible_side(Delivery.objects.filter(state=State.DEAD)):
        rows = dead.order_by().values_list("responsible_id", "code")
        for connection, code, *count in rows.annotate(Count("pk"), Min("settled_at"), Max("settled_at")):
            counts[connection, code] = GroupCount(*count)
    return counts


def _update_group(group: FailureGroup, count: GroupCount, now: datetime) -> None:
    first = min(group.first_at, count.first_at or group.first_at)
    last = max(group.last_at, count.last_at or group.last_at)
    if (count.number, first, last) != (group.number, group.first_at, group.last_at):
        is_newer = Q(counted_at=None) | Q(counted_at__lt=now)
        FailureGroup.objects.filter(is_newer, pk=group.pk).update(
            number=count.number, first_at=first, last_at=last, counted_at=now
        )
    if must_reopen(group, count, now):
        _reopen_group(group, now)


def must_reopen(group: FailureGroup, count: GroupCount, now: datetime) -> bool:
    """True if a resolved or ignored group needs attention again."""
    if not count.number or count.last_at is None:
        return False
    if group.state == FailureGroupState.RESOLVED:
        return group.seen_until is None or count.last_at > group.seen_until
    return (
        group.state == FailureGroupState.IGNORED
        and group.ignored_until is not None
        and group.ignored_until <= now
    )


def _reopen_group(group: FailureGroup, now: datetime) -> None:
    """Reopen a group, by compare-and-set: a decision that a person made meanwhile stays."""
    unchanged = FailureGroup.objects.filter(
        pk=group.pk, state=group.state, seen_until=group.seen_until, ignored_until=group.ignored_until
    )
    with transaction.atomic():
        if unchanged.update(state=FailureGroupState.OPEN, seen_until=None, ignored_until=None):
            details = {"code": group.code, "connection": group.connection_id, "was": group.state}
            append_entries(NewEntry(group.stream, "failures.reopened", details=details), at=now)
