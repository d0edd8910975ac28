"""Record the results of re-checks that have ended: confirmed, or repaired; and when the next one is due."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from database.statement import Statement
from sync.models import SETTLED_STATES, Attempt, AttemptOutcome, Recheck
from sync.models.delivery import sql_list

_MAX_RESULTS = 500
_ENDED = Statement(
    f"""SELECT r.id FROM sync_recheck r JOIN sync_delivery d ON d.id = r.delivery_id
    WHERE r.delivery_id IS NOT NULL AND d.state IN {sql_list(SETTLED_STATES)} ORDER BY r.delivery_id LIMIT %s"""  # noqa: S608
)


def record_results() -> int:
    """Record the results of re-checks whose delivery has ended, each in a commit of its own. Returns how many."""
    return sum(_record_result(key) for (key,) in _ENDED.fetch_all(_MAX_RESULTS))


def _record_result(key: int) -> bool:
    """Record the result of one re-check. Returns False if another process was first."""
    with transaction.atomic():
        rows = Recheck.objects.select_for_update(of=("self",)).select_related("attempt__delivery__event")
        recheck = rows.filter(pk=key, delivery__state__in=SETTLED_STATES).first()
        if recheck is None:
            return False
        attempt, is_first = _deciding_attempt(recheck), recheck.confirmed_at is None
        if attempt is not None and attempt.outcome == AttemptOutcome.SUCCEEDED:
            recheck.repaired_by, recheck.confirmed_at = attempt, None
            _append_entry(recheck, attempt, "attempt.repaired")
        elif (
            attempt is not None
            and attempt.outcome == AttemptOutcome.UNCHANGED
            and recheck.repaired_by_id is None
        ):
            recheck.confirmed_at = timezone.now()
            if is_first:
                _append_entry(recheck, attempt, "attempt.confirmed")
        recheck.due_at = _next_due_time(recheck)
        recheck.delivery = recheck.first_number = None
        recheck.save()
    return True


def _deciding_attempt(recheck: Recheck) -> Attempt | None:
    """Return the attempt that decided the delivery since: its own newest, or a later one that covered it."""
    delivery = recheck.delivery
    assert delivery is not None, "the re-check runs"
    own = Q(delivery=delivery, number__gte=recheck.first_number)
    attempts = Attempt.objects.filter(own | Q(pk=delivery.covered_by_id)).select_related("delivery__event")
    return attempts.order_by("-pk").first()


def _next_due_time(recheck: Recheck) -> datetime | None:
    """Return when the first delay ends that had not when this check began; None if all had."""
    assert recheck.checked_at is not None, "the re-check ran"
    times = [recheck.began_at + timedelta(seconds=delay) for delay in settings.RECHECK_SECONDS]
    return next((moment for moment in times if moment > recheck.checked_at), None)


def _append_entry(recheck: Recheck, by: Attempt, action: str) -> None:
    details = {
        "attempt": str(recheck.attempt.key),
        "number": recheck.attempt.number,
        "recheck": str(by.key),
        "event": by.delivery.event.reference,
    }
    append_entries(NewEntry(recheck.attempt.delivery.stream, action, details=details))
