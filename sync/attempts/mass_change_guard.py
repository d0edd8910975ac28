"""The mass-change guard: hold a delivery for approval if its route removes or changes too many records.

An attempt that is about to write is marked with its category (`Attempt.counted_as`), one attempt of a route after the
other. The marks of the last `guard_minutes` are the count. A subject counts once, however often it changes.
"""

import time
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from sync.deliveries.claims import Claim
from sync.models import Attempt, ChangeCategory, Delivery, Link, Route
from sync.planning.change import Change, ChangeAction, ScopeMove

# With fewer records a percentage is hardly one record, and would hold normal changes.
MIN_KNOWN_RECORDS = 20
# Share of the window after which a subject is marked again: a subject that changes all the time is marked ten times in
# a window, not thousands of times.
_RECOUNT_SHARE = 0.1
# Counting many links for each change would be slow, and in a minute such a number hardly changes.
_CACHED_FROM = 1_000
_CACHE_SECONDS = 60.0


class HeldForApproval(Exception):
    """The change waits for a person's approval; nothing was sent."""

    def __init__(self, category: ChangeCategory, limit: int, minutes: int) -> None:
        kind = "deletions" if category == ChangeCategory.REMOVAL else "changed records"
        super().__init__(f"{kind} in {minutes} minutes are limited to {limit:,}")
        self.category = category
        self.limit = limit


def check_mass_change(claim: Claim, change: Change, *, is_deleted: bool) -> None:
    """Count the planned change of an attempt, or raise HeldForApproval. `is_deleted`: the entity does not exist any
    more.

    Call it before the first write. It reads nothing if nothing changes, if the delivery was approved, or if the route
    has no guard of this kind.
    """
    category = categorize_change(change, is_deleted=is_deleted)
    # An attempt that plans again, because its record was changed meanwhile, is counted once.
    if category is None or claim.delivery.is_approved or claim.attempt.counted_as == category:
        return
    limit = _window_limit(claim.delivery, category)
    if limit is None:
        return
    # The lock of the route lasts until the mark is committed: its attempts are counted one after the other.
    with transaction.atomic():
        is_marked = _count_subject(claim, category, limit)
        if is_marked:
            Attempt.objects.filter(pk=claim.attempt.pk).update(counted_as=category)
    claim.attempt.counted_as = category if is_marked else ""


def categorize_change(change: Change, *, is_deleted: bool) -> ChangeCategory | None:
    """Return the category that a change counts in, None for no change.

    A deletion is a removal; so is any change to the record of an entity that was deleted or left the scope of the
    route, and the end of its link.
    """
    if change.action is ChangeAction.NOTHING and not change.ends_link:
        return None
    is_removal = is_deleted or change.action is ChangeAction.DELETE or change.scope is ScopeMove.LEFT
    return ChangeCategory.REMOVAL if is_removal else ChangeCategory.CHANGE


def _window_limit(delivery: Delivery, category: ChangeCategory) -> int | None:
    """Return how many subjects may count within the window; None if there is no guard."""
    route = delivery.route
    if category == ChangeCategory.REMOVAL:
        return route.max_removals
    if route.max_changed_percent is None:
        return None
    record_count = _count_known_records(delivery.identity_id, delivery.target_id, delivery.entity_type)
    return int(record_count * route.max_changed_percent / 100) if record_count >= MIN_KNOWN_RECORDS else None


def _count_subject(claim: Claim, category: ChangeCategory, limit: int) -> bool:
    """True if this attempt must be marked. Raises HeldForApproval if its subject would exceed the limit."""
    route, now = claim.delivery.route, timezone.now()
    # FOR NO KEY UPDATE: transactions that insert deliveries of the route need not wait.
    Route.objects.select_for_update(no_key=True).values_list("pk").get(pk=route.pk)
    window = timedelta(minutes=route.guard_minutes)
    # A subject is not marked again for `_RECOUNT_SHARE` of the window, so marks count for that much longer.
    marks = _counted_attempts(route, category).filter(started_at__gte=now - window * (1 + _RECOUNT_SHARE))
    marked_at = marks.filter(delivery__entity_id=claim.delivery.entity_id).aggregate(at=Max("started_at"))[
        "at"
    ]
    if marked_at is not None:
        return bool(marked_at < now - window * _RECOUNT_SHARE)
    # Counting stops at the limit: a larger number makes no difference.
    subject_count = marks.values("delivery__entity_id").distinct()[:limit].count()
    if subject_count < limit:
        return True
    if _is_approved(claim):
        return False
    raise HeldForApproval(category, limit, route.guard_minutes)


def _is_approved(claim: Claim) -> bool:
    """True if a person approved the delivery since it was read, or a sibling that the attempt covers."""
    is_covered = Q(pk=claim.delivery.pk) | Q(covered_by=claim.attempt)
    return Delivery.objects.filter(is_covered, is_approved=True).exists()


def _counted_attempts(route: Route, category: ChangeCategory) -> QuerySet[Attempt]:
    """Select the attempts of a route that count in a category."""
    # Redundant, but the condition of the partial index `attempt_counted_as`.
    return Attempt.objects.exclude(counted_as="").filter(counted_as=category, delivery__route=route)


@dataclass(frozen=True, slots=True)
class _RecordCount:
    number: int
    until: float


_record_counts: dict[tuple[int, int, str], _RecordCount] = {}


def _count_known_records(identity_id: int, target_id: int, entity_type: str) -> int:
    """Return the number of linked records. A count of 1,000 or more is cached for a minute."""
    key, now = (identity_id, target_id, entity_type), time.monotonic()
    cached = _record_counts.get(key)
    if cached is None or cached.number < _CACHED_FROM or cached.until < now:
        links = Link.objects.filter(
            identity_id=identity_id, target_id=target_id, entity_type=entity_type
        ).exclude(record_id="")
        cached = _record_counts[key] = _RecordCount(links.count(), now + _CACHE_SECONDS)
    return cached.number
