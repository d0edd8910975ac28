"""Store which referenced records a delivery lacks, and make it due when they arrive: it waits for them, has written its
record without them, or has failed for good without them or with others.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction

from database.clock import database_now, read_clock
from database.statement import BoundStatement, Statement
from sync.models import SUCCESS_STATES, AwaitedRecord, Delivery, Link
from sync.models.delivery import sql_list
from sync.planning.references import Reference
from sync.references.record_references import schedule_all_replaced, schedule_replaced
from webhooks.models import State

logger = logging.getLogger("hub.deliver")

REFERENCE_MISSING_CODE = "reference-missing"
# Deliveries that one new record makes due. Of the others, those that wait are tried when their own next attempt is due,
# and those that left it out are found by `schedule_all_arrived`.
MAX_WOKEN = 500
# Rows that one statement of `schedule_all_arrived` reads.
SLICE_SIZE = 5_000
# Until a delivery that still lacks other records is tried again: two records may arrive at the same moment.
PARTLY_SECONDS = 15.0
_ID_LENGTH = 128
_MIN_DELAY = 0.5
# The states of a delivery that runs again when a record that it lacks arrives: its record was made without it, or the
# target refused it.
_ENDED_STATES = (*SUCCESS_STATES, State.DEAD)

_DELETE_MISSING = Statement("DELETE FROM sync_awaitedrecord WHERE delivery_id = %s")
# Without the row which says that the record of the delivery has given up its own value: see `value_holders`.
_DELETE_BUT_GIVEN_UP = Statement(
    """DELETE FROM sync_awaitedrecord WHERE delivery_id = %s AND NOT (holds_value AND record_id <> ''
    AND entity_id = %s AND entity_type = %s AND identity_id = %s AND target_id = %s)"""
)
_SCHEDULE_ARRIVED, _SCHEDULE_SLICE = (
    Statement(
        f"""UPDATE sync_awaitedrecord SET due_at = {{now}} WHERE id IN (
        SELECT m.id FROM sync_awaitedrecord m JOIN sync_delivery d ON d.id = m.delivery_id
        JOIN sync_link l ON l.entity_id = m.entity_id AND l.entity_type = m.entity_type
        AND l.identity_id = m.identity_id AND l.target_id = m.target_id
        WHERE {condition} AND m.due_at IS NULL AND NOT m.holds_value
        AND l.record_id <> '' AND l.record_id <> m.record_id AND d.state IN {sql_list(_ENDED_STATES)})"""  # noqa: S608
    )
    for condition in ("m.delivery_id = %s", "m.id > %s AND m.id <= %s")
)


def waited_time(delivery: Delivery) -> timedelta:
    """Return the time since the webhook or the last replay, by the database's clock."""
    # A delivery that was stored as claimed, or is only previewed, has no time here: it has just begun.
    opened_at = delivery.opened_at
    return read_clock() - opened_at if isinstance(opened_at, datetime) else timedelta(0)


def is_wait_over(delivery: Delivery, wait: timedelta) -> bool:
    """Return True if a delivery has waited long enough: for `wait`, or as long as its route retries."""
    return waited_time(delivery) >= _limit_wait(delivery, wait)


def wait_delay(delivery: Delivery, wait: timedelta, jitter: float) -> float:
    """Return the seconds until a waiting delivery is tried again: the longer it has waited, the more.

    The last attempt is when the wait is over. `jitter` is a random number in [0, 1).
    """
    waited = waited_time(delivery)
    left = (_limit_wait(delivery, wait) - waited).total_seconds()
    route = delivery.route
    delay = min(max(waited.total_seconds() / 2, route.retry_base_seconds), route.retry_cap_seconds)
    return max(min(delay * (1 + jitter / 2), left), _MIN_DELAY)


def _limit_wait(delivery: Delivery, wait: timedelta) -> timedelta:
    return min(wait, timedelta(hours=delivery.route.gives_up_after_hours))


def delete_missing(delivery: Delivery, *, has_succeeded: bool) -> BoundStatement:
    """Return the statement that deletes what a delivery waits for, for the end of its next attempt. A record that has
    given up its own value waits until an attempt has succeeded.
    """
    if has_succeeded:
        return _DELETE_MISSING.bind(delivery.pk)
    return _DELETE_BUT_GIVEN_UP.bind(delivery.pk, *delivery.subject)


def store_missing(delivery: Delivery, missing: Mapping[Reference, str], *, replaces_earlier: bool) -> None:
    """Store the missing references of a delivery, each with the record id with which it was refused, "" without one.
    Skips ids that no entity of the hub can have.

    `replaces_earlier`: the delivery has ended. They replace the missing references of earlier deliveries of the subject
    on the same route, so that the hub stores at most the references of one record.
    """
    if replaces_earlier:
        # The events are found by their index on the entity; deliveries that have ended have none.
        earlier = Delivery.objects.filter(
            route=delivery.route_id, entity_type=delivery.entity_type, event__entity_id=delivery.entity_id
        )
        AwaitedRecord.objects.filter(delivery__in=earlier, holds_value=False).delete()
    rows = (
        AwaitedRecord(
            delivery_id=delivery.pk,
            identity_id=delivery.identity_id,
            target_id=delivery.target_id,
            entity_type=reference.entity_type,
            entity_id=reference.entity_id,
            record_id=record_id,
        )
        for reference, record_id in sorted(missing.items())
        if len(reference.entity_id) <= _ID_LENGTH
    )
    # A record may refer to itself, and have given up a value.
    AwaitedRecord.objects.bulk_create(rows, ignore_conflicts=True)


def schedule_referring(delivery: Delivery) -> None:
    """Make deliveries due that lack the record which this delivery's entity has got, or that refer to its earlier one;
    at most MAX_WOKEN.

    A commit of its own: it changes rows of other subjects, which a settling commit must not wait for. If it is lost,
    the waiting deliveries run when their next attempt is due, and `schedule_all_arrived` finds the others.
    """
    try:
        with transaction.atomic():
            _schedule_in_transaction(delivery)
        schedule_replaced(delivery)
    except DatabaseError as error:
        logger.warning(
            "deliveries that refer to the record of %s could not be scheduled (%s)",
            delivery,
            type(error).__name__,
        )


def schedule_arrived(delivery_id: int) -> None:
    """Schedule a delivery that left out references, if one of their records has arrived meanwhile.

    Call this after the commit that stored them: the other process commits its link before it looks for them, so one of
    the two sees the other's rows.
    """
    try:
        _SCHEDULE_ARRIVED.execute(delivery_id)
    except DatabaseError as error:
        logger.warning("delivery %s could not be scheduled (%s)", delivery_id, type(error).__name__)


def schedule_all_arrived() -> int:
    """Schedule deliveries that left out references whose records have arrived, or that refer to records which were
    replaced, where a wake-up was lost or would have been one too many. Returns the number of references.

    Reads all rows, SLICE_SIZE at a time, so that no statement is long.
    """
    scheduled = last_key = 0
    while keys := list(
        AwaitedRecord.objects.filter(pk__gt=last_key).order_by("pk").values_list("pk", flat=True)[:SLICE_SIZE]
    ):
        scheduled += _SCHEDULE_SLICE.execute(last_key, keys[-1])
        last_key = keys[-1]
    return scheduled + schedule_all_replaced(SLICE_SIZE)


def _schedule_in_transaction(delivery: Delivery) -> None:
    """Make deliveries due that lack the record of this delivery's entity.

    1. Schedule those that left it out, or were refused with another one: `begin_due_completions` runs them again.
    2. Make those due that wait, without those that another process holds: it is about to decide for itself.
    """
    subject = {
        "entity_id": delivery.entity_id,
        "entity_type": delivery.entity_type,
        "identity": delivery.identity_id,
        "target": delivery.target_id,
    }
    # Those that were refused with this very record would be refused again.
    linked = Link.objects.filter(**subject).exclude(record_id="").values("record_id")
    lacking = AwaitedRecord.objects.filter(**subject, due_at=None, holds_value=False)
    arrived = lacking.exclude(record_id__in=linked)
    found = dict(arrived.order_by("delivery").values_list("pk", "delivery")[:MAX_WOKEN])
    if not found:
        return
    referring = list(found.values())
    complete = list(
        Delivery.objects.filter(pk__in=referring, state__in=_ENDED_STATES).values_list("pk", flat=True)
    )
    for keys, seconds in _split_by_completeness(complete, delivery):
        arrived.filter(delivery__in=keys).update(due_at=database_now(plus_seconds=seconds))
    # In key order.
    rows = Delivery.objects.filter(
        pk__in=referring, state=State.RETRYING, code=REFERENCE_MISSING_CODE, due_at__isnull=False
    )
    waiting = list(rows.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True))
    # By their keys: a delivery that has ended meanwhile, without the record, has stored rows anew.
    arrived.filter(pk__in=found).exclude(delivery__in=complete).delete()
    for keys, seconds in _split_by_completeness(waiting, delivery):
        soon = database_now(plus_seconds=seconds)
        Delivery.objects.filter(pk__in=keys, due_at__gt=soon).update(due_at=soon)


def _split_by_completeness(keys: list[int], arrived: Delivery) -> tuple[tuple[list[int], float], ...]:
    """Divide deliveries into those that lack nothing else and those that still lack other records, each with the
    seconds until they are due.
    """
    others = AwaitedRecord.objects.filter(delivery__in=keys, due_at=None).exclude(
        entity_id=arrived.entity_id, entity_type=arrived.entity_type
    )
    partly = set(others.values_list("delivery", flat=True).distinct())
    complete = [key for key in keys if key not in partly]
    return (complete, 0.0), (sorted(partly), PARTLY_SECONDS)
