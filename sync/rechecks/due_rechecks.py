"""Begin re-checks that are due: make a delivery of the subject due again, as a replay does.

The ordinary engine runs it: fetch, find, map, compare, and a write only if something differs. So a re-check keeps every
rule of a delivery: order, slots, breakers, pauses, the mass-change guard.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db import transaction

from database.clock import database_now
from database.statement import Statement
from sync.deliveries.ordering import lock_open_siblings
from sync.deliveries.predicates import SUBJECT_COLUMNS
from sync.execution.executor import defer_to_workers
from sync.models import OPEN_STATES, Attempt, Delivery, Recheck
from sync.rechecks.due_completions import begin_due_completions
from sync.rechecks.due_first_values import begin_due_first_values
from sync.rechecks.recheck_results import record_results
from sync.rechecks.reopened_deliveries import CAN_BEGIN, ROUTE_TABLES, choose_delivery, make_due, may_run
from sync.references.value_holders import schedule_freed

logger = logging.getLogger("hub.deliver")

# In a round of five seconds, so that the re-checks after an outage do not crowd out new events.
MAX_CHECKS = 100

_DUE = Statement(
    f"""SELECT r.id, r.attempt_id, d.route_id, {", ".join(f"d.{column}" for column in SUBJECT_COLUMNS)}
    FROM sync_recheck r JOIN sync_attempt a ON a.id = r.attempt_id JOIN sync_delivery d ON d.id = a.delivery_id
    {ROUTE_TABLES} WHERE r.due_at IS NOT NULL AND r.due_at <= {{now}} AND {CAN_BEGIN}
    ORDER BY r.due_at, r.id LIMIT %s"""  # noqa: S608
)


def run_rechecks() -> int:
    """Record the results of re-checks that have ended, then begin those that are due: after writes that may arrive
    late, of records that can be completed, by a reference or by the first value of a field, and of those whose value
    may be free. Returns how many began.
    """
    record_results()
    schedule_freed()
    begun = begin_due_rechecks() + begin_due_completions() + begin_due_first_values()
    defer_to_workers(begun)
    return len(begun)


def begin_due_rechecks(limit: int = MAX_CHECKS) -> list[int]:
    """Begin at most `limit` re-checks that are due. Returns the deliveries that run now."""
    begun = (_begin_checks(keys, attempt) for keys, attempt in _read_due_checks(limit))
    return [delivery for delivery in begun if delivery is not None]


def _read_due_checks(limit: int) -> Iterable[tuple[list[int], int]]:
    """Return the due re-checks of each subject and route, with the newest of their attempts: one check serves all."""
    checks: dict[object, list[tuple[int, int]]] = defaultdict(list)
    for key, attempt, *subject in _DUE.fetch_all(limit):
        checks[tuple(subject)].append((key, attempt))
    return [([key for key, _ in rows], max(attempt for _, attempt in rows)) for rows in checks.values()]


def _begin_checks(keys: Sequence[int], attempt_id: int) -> int | None:
    """Make a delivery due for these re-checks. Returns None if none may run, or another process was first.

    1. Lock the open deliveries of the subject, so that no other is claimed before the commit, and the delivery.
    2. End the re-checks for good if the entity was erased, or the delivery was closed.
    3. Mark the re-checks as running, by compare-and-set, and the delivery as pending.
    """
    attempt = Attempt.objects.select_related("delivery__event").get(pk=attempt_id)
    with transaction.atomic():
        if any(sibling.state in OPEN_STATES for sibling in lock_open_siblings(attempt.delivery)):
            return None
        chosen = choose_delivery(attempt)
        delivery = Delivery.objects.select_related("event").select_for_update(of=("self",)).get(pk=chosen.pk)
        due = Recheck.objects.filter(pk__in=keys, due_at__lte=database_now())
        if not may_run(delivery):
            due.update(due_at=None)
            return None
        if delivery.state in OPEN_STATES or not due.update(
            due_at=None,
            delivery=delivery,
            first_number=delivery.last_number + 1,
            checked_at=database_now(),
        ):
            return None
        make_due(delivery)
    return delivery.pk
