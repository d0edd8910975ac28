"""Group failed deliveries by connection and reason: one row each, counted by the worker."""

from collections import Counter
from collections.abc import Collection
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

    def __add__(self, other: "GroupCount") -> "GroupCount":
        """Return the count of both."""
        times = [at for at in (self.first_at, self.last_at, other.first_at, other.last_at) if at is not None]
        return GroupCount(self.number + other.number, min(times, default=None), max(times, default=None))


_NO_FAILURES = GroupCount(0, None, None)
# A system whose sentences have no end must not make groups without end: further ones share a group of their code.
MAX_GROUPS_OF_CODE = 100
# Connection, code and failure key.
_GroupKey = tuple[int, str, str]


def refresh_failure_groups(now: datetime | None = None) -> None:
    """Count each group again, create new ones, and reopen those that failed again.

    Two statements read the indexes of failed deliveries, one reads the groups; then one for each group that changed.
    Safe at any time: a later count is not overwritten by an earlier one.
    """
    now = now or read_clock()
    known = {
        (group.connection_id, group.code, group.failure_key): group for group in FailureGroup.objects.all()
    }
    counts = _count_dead(known)
    new = [
        FailureGroup(
            connection_id=connection,
            code=code,
            failure_key=key,
            number=count.number,
            first_at=count.first_at or now,
            last_at=count.last_at or now,
            counted_at=now,
        )
        for (connection, code, key), count in counts.items()
        if (connection, code, key) not in known
    ]
    # Another worker may create the same groups.
    FailureGroup.objects.bulk_create(new, ignore_conflicts=True)
    for key, group in known.items():
        _update_group(group, counts.get(key, _NO_FAILURES), now)


def _count_dead(known: Collection[_GroupKey]) -> dict[_GroupKey, GroupCount]:
    """Count the failed deliveries of each group, known or new, the largest first: they get groups of their own."""
    counts: dict[_GroupKey, GroupCount] = {}
    groups_of_code = Counter((connection, code) for connection, code, _ in known)
    for dead in split_by_responsible_side(Delivery.objects.filter(state=State.DEAD)):
        rows = dead.order_by().values_list("responsible_id", "code", "failure_key")
        counted = rows.annotate(number=Count("pk"), first=Min("settled_at"), last=Max("settled_at"))
        ordered = counted.order_by("-number", "responsible_id", "code", "failure_key")
        for connection, code, failure_key, *count in ordered.iterator(chunk_size=1_000):
            key = (connection, code, failure_key)
            if key not in known and failure_key:
                groups_of_code[connection, code] += 1
                if groups_of_code[connection, code] > MAX_GROUPS_OF_CODE:
                    key = (connection, code, "")
            counts[key] = counts.get(key, _NO_FAILURES) + GroupCount(*count)
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
