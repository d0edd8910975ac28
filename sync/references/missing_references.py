"""Let a delivery wait for the records that its record refers to, and wake it when they are there."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction

from database.clock import database_now, read_clock
from database.statement import BoundStatement, Statement
from sync.models import Delivery, MissingReference
from sync.planning.references import Reference
from webhooks.models import State

logger = logging.getLogger("hub.deliver")

REFERENCE_MISSING_CODE = "reference-missing"
# Deliveries that one new record wakes. The others look again when their own next try is due.
MAX_WOKEN = 500
# Until a delivery that still waits for other records looks again: two records may arrive at the same moment.
PARTLY_SECONDS = 15.0
_ID_LENGTH = 128
_SHORTEST_DELAY = 0.5

_DELETE_MISSING = Statement("DELETE FROM sync_missingreference WHERE delivery_id = %s")


def waited_time(delivery: Delivery) -> timedelta:
    """Return the time since the webhook or the last replay, by the database's clock."""
    # A delivery that was stored as claimed, or is only previewed, has no time here: it has just begun.
    opened_at = delivery.opened_at
    return read_clock() - opened_at if isinstance(opened_at, datetime) else timedelta(0)


def is_wait_over(delivery: Delivery, wait: timedelta) -> bool:
    """Return True if a delivery has waited long enough: for `wait`, or as long as its route retries."""
    return waited_time(delivery) >= _limit_wait(delivery, wait)


def wait_delay(delivery: Delivery, wait: timedelta, jitter: float) -> float:
    """Return the seconds until a delivery that waits looks again: the longer it has waited, the more.

    The last look is when the wait is over. `jitter` is a random number in [0, 1).
    """
    waited = waited_time(delivery)
    left = (_limit_wait(delivery, wait) - waited).total_seconds()
    route = delivery.route
    delay = min(max(waited.total_seconds() / 2, route.retry_base_seconds), route.retry_cap_seconds)
    return max(min(delay * (1 + jitter / 2), left), _SHORTEST_DELAY)


def _limit_wait(delivery: Delivery, wait: timedelta) -> timedelta:
    return min(wait, timedelta(hours=delivery.route.gives_up_after_hours))


def delete_missing(delivery_id: int) -> BoundStatement:
    """Return the statement that ends the wait of a delivery whose attempt ends."""
    return _DELETE_MISSING.bind(delivery_id)


def store_missing(delivery: Delivery, missing: Iterable[Reference]) -> None:
    """Store what a delivery waits for. An id that no entity of the hub can have is left out."""
    MissingReference.objects.bulk_create(
        MissingReference(
            delivery_id=delivery.pk,
            identity_id=delivery.identity_id,
            commercial_id=delivery.commercial_id,
            entity_type=reference.entity_type,
            entity_id=reference.entity_id,
        )
        for reference in sorted(missing)
        if len(reference.entity_id) <= _ID_LENGTH
    )


def wake_referring(delivery: Delivery) -> None:
    """Make deliveries due that wait for the record which this delivery's entity has got; at most MAX_WOKEN.

    A commit of its own: it changes rows of other subjects, which a settling commit must not wait for. If it is lost,
    the deliveries look again when their next try is due.
    """
    try:
        with transaction.atomic():
            _wake(delivery)
    except DatabaseError as error:
        logger.warning("%s could not wake those that wait for it (%s)", delivery, type(error).__name__)


def _wake(delivery: Delivery) -> None:
    found = MissingReference.objects.filter(
        entity_id=delivery.entity_id,
        entity_type=delivery.entity_type,
        identity=delivery.identity_id,
        commercial=delivery.commercial_id,
    )
    waiting = list(found.order_by("delivery").values_list("delivery", flat=True)[:MAX_WOKEN])
    if not waiting:
        return
    # In key order, and without those that another process holds: it is about to decide for itself.
    rows = Delivery.objects.filter(
        pk__in=waiting, state=State.RETRYING, code=REFERENCE_MISSING_CODE, due_at__isnull=False
    )
    locked = list(rows.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True))
    found.filter(delivery__in=waiting).delete()
    partly = set(
        MissingReference.objects.filter(delivery__in=locked).values_list("delivery", flat=True).distinct()
    )
    complete = [key for key in locked if key not in partly]
    for keys, seconds in ((complete, 0.0), (sorted(partly), PARTLY_SECONDS)):
        soon = database_now(plus_seconds=seconds)
        Delivery.objects.filter(pk__in=keys, due_at__gt=soon).update(due_at=soon)
