"""Deliver again where a record was written without a reference, and the other entity has a record now, or another one;
and where the target refused a value that another record held.

As with other re-checks, the ordinary engine fetches, maps and compares: what it writes is never outdated.
"""

from django.db import transaction

from database.clock import database_now
from database.statement import Statement
from sync.deliveries.ordering import lock_open_siblings
from sync.models import OPEN_STATES, Attempt, AwaitedRecord, Delivery
from sync.rechecks.reopened_deliveries import CAN_BEGIN, ROUTE_TABLES, choose_delivery, make_due, may_run
from sync.references.value_holders import keep_holders

# In a round of five seconds, so that a new record which many refer to does not crowd out new events.
MAX_COMPLETIONS = 100

_DUE = Statement(
    f"""SELECT m.delivery_id FROM sync_awaitedrecord m JOIN sync_delivery d ON d.id = m.delivery_id
    {ROUTE_TABLES} WHERE m.due_at IS NOT NULL AND m.due_at <= {{now}} AND t.is_enabled AND {CAN_BEGIN}
    ORDER BY m.due_at, m.id LIMIT %s"""  # noqa: S608
)


def begin_due_completions(limit: int = MAX_COMPLETIONS) -> list[int]:
    """Begin deliveries again for at most `limit` references that are due. Returns the deliveries that run now."""
    # A delivery may have left out several references, and is begun once for all of them.
    keys = dict.fromkeys(key for (key,) in _DUE.fetch_all(limit))
    return [delivery for delivery in map(_begin_completion, keys) if delivery is not None]


def _begin_completion(delivery_id: int) -> int | None:
    """Make a delivery of the same subject and route due. Returns None if none may run, or another process was first.

    1. Lock the open deliveries of the subject, so that no other is claimed before the commit, and the delivery.
    2. Forget what the delivery lacked, by compare-and-set: its next attempt stores what is missing then. So a record
       that arrives makes it due once.
    3. Mark the delivery as pending, unless the entity was erased or the delivery was closed.
    """
    attempts = Attempt.objects.filter(delivery=delivery_id).select_related("delivery__event")
    attempt = attempts.order_by("-number").first()
    if attempt is None:  # deleted meanwhile with its event
        return None
    with transaction.atomic():
        if any(sibling.state in OPEN_STATES for sibling in lock_open_siblings(attempt.delivery)):
            return None
        chosen = choose_delivery(attempt)
        delivery = Delivery.objects.select_related("event").select_for_update(of=("self",)).get(pk=chosen.pk)
        due = AwaitedRecord.objects.filter(delivery=delivery_id, due_at__lte=database_now())
        if delivery.state in OPEN_STATES or not due.exists():
            return None
        if not _forget_missing(attempt.delivery, delivery) or not may_run(delivery):
            return None
        make_due(delivery)
    return delivery.pk


def _forget_missing(waiting: Delivery, chosen: Delivery) -> int:
    """Forget what a delivery lacks, now that `chosen` begins. Returns the number of references and of refused values; 0
    if another process was first.
    """
    missing = AwaitedRecord.objects.filter(delivery=waiting.pk, holds_value=False)
    return keep_holders(waiting, chosen) + missing.delete()[0]
