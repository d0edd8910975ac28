"""Store which entity's record holds a value that the target refused to another record, and check that one again once it
may be free: after some seconds, and whenever the holder's record was written or confirmed since.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from database.clock import database_now
from database.statement import Statement
from sync.models import Attempt, AttemptCause, AttemptOutcome, AwaitedRecord, Delivery
from sync.models.delivery import sql_list
from sync.planning.references import LinkedEntity
from webhooks.models import State

# The webhook of the other entity is mostly a moment away.
FIRST_CHECK_SECONDS = 5.0
# Rows that one round looks at, the newest first. Older ones wait for a webhook of their own entity.
MAX_WATCHED = 2_000
# Holders of the deliveries of one event that a page names.
MAX_SHOWN = 10
# Those that may still run, or have just ended.
_RECENT_ATTEMPTS = 200
# The largest circle of entities that is found: each wants the value that the next one holds.
_MAX_CIRCLE = 10

# The newest attempt of a failed delivery began before the holder's link was written: it may not have seen that write.
_SCHEDULE_FREED = Statement(
    f"""UPDATE sync_awaitedrecord SET due_at = {{now}} WHERE id IN (
    SELECT m.id FROM (SELECT * FROM sync_awaitedrecord WHERE holds_value AND due_at IS NULL
        ORDER BY id DESC LIMIT {MAX_WATCHED}) m
    JOIN sync_delivery d ON d.id = m.delivery_id
    JOIN sync_attempt a ON a.delivery_id = d.id AND a.number = d.last_number
    JOIN sync_link l ON l.entity_id = m.entity_id AND l.entity_type = m.entity_type
    AND l.identity_id = m.identity_id AND l.target_id = m.target_id
    WHERE d.state IN {sql_list((State.DEAD,))} AND l.applied_at > a.started_at)"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class TakenValues:
    """The entities, of any identity service, whose records hold values that the target refused to a record.

    `is_released`: the record has given up its own value, which another one waits for.
    """

    holders: frozenset[LinkedEntity] = frozenset()
    is_released: bool = False


NONE_TAKEN = TakenValues()


def find_changing(delivery: Delivery, attempt: Attempt) -> frozenset[LinkedEntity]:
    """Return who may have held a value that was refused and that no record has any more: one entity whose record is
    written now or was since the attempt began. After a re-check only one that it waited for.
    """
    since = Q(outcome=AttemptOutcome.STARTED) | Q(
        outcome=AttemptOutcome.SUCCEEDED, ended_at__gte=attempt.started_at
    )
    recent = Attempt.objects.filter(
        since,
        pk__gte=attempt.pk - _RECENT_ATTEMPTS,
        delivery__target=delivery.target_id,
    )
    rows = recent.exclude(delivery=delivery.pk).order_by("-pk")
    names = ("identity", "entity_type", "entity_id")
    entities = [LinkedEntity(*row) for row in rows.values_list(*(f"delivery__{name}" for name in names))]
    if attempt.cause == AttemptCause.RECHECK:
        awaited = _awaited_by(delivery, _entity_of(delivery))
        entities = [entity for entity in entities if entity in awaited]
    return frozenset(entities[:1])


def store_holders(delivery: Delivery, taken: TakenValues, cause: str) -> None:
    """Store the holders for a delivery that has failed, in place of those of its earlier attempts.

    It is checked again soon, but not if it was just checked: then only once a holder's record is written. So a true
    conflict is tried twice, and not again and again.
    """
    AwaitedRecord.objects.filter(delivery=delivery.pk, holds_value=True).delete()
    due_at = None if cause == AttemptCause.RECHECK else database_now(plus_seconds=FIRST_CHECK_SECONDS)
    rows = (
        AwaitedRecord(
            delivery_id=delivery.pk,
            identity_id=holder.identity_id,
            target_id=delivery.target_id,
            entity_type=holder.entity_type,
            entity_id=holder.entity_id,
            holds_value=True,
            due_at=due_at,
        )
        for holder in sorted(taken.holders)
    )
    # The record may refer to the holder too, and wait for it already.
    AwaitedRecord.objects.bulk_create(rows, ignore_conflicts=True)
    if taken.is_released:
        _waits_of(delivery).update(due_at=database_now())


def load_holders(deliveries: Sequence[Delivery]) -> Mapping[int, Sequence[AwaitedRecord]]:
    """Return the holders of the values that were refused to these deliveries, with their identity connections; at most
    MAX_SHOWN. Reads nothing for no deliveries.
    """
    found: dict[int, list[AwaitedRecord]] = defaultdict(list)
    if deliveries:
        rows = AwaitedRecord.objects.filter(delivery__in=deliveries, holds_value=True)
        for row in rows.select_related("identity").order_by("pk")[:MAX_SHOWN]:
            found[row.delivery_id].append(row)
    return found


def schedule_freed() -> int:
    """Schedule failed deliveries whose holder's record was written or confirmed since. Returns how many rows."""
    return _SCHEDULE_FREED.execute()


def closes_circle(delivery: Delivery, holders: Iterable[LinkedEntity]) -> bool:
    """Return True if one of the holders waits, maybe through others, for a value that the delivery's record holds."""
    own = _entity_of(delivery)
    reached, latest = set(holders), set(holders)
    for _ in range(_MAX_CIRCLE):
        latest = {holder for entity in latest for holder in _awaited_by(delivery, entity)} - reached
        if own in latest:
            return True
        reached |= latest
    return False


def _awaited_by(delivery: Delivery, entity: LinkedEntity) -> list[LinkedEntity]:
    """Return the holders that an entity waits for. Its events are found by their index on the entity."""
    rows = AwaitedRecord.objects.filter(
        delivery__event__entity_id=entity.entity_id,
        delivery__entity_type=entity.entity_type,
        delivery__identity=entity.identity_id,
        target=delivery.target_id,
        holds_value=True,
    )
    return [
        LinkedEntity(*row) for row in rows.values_list("identity", "entity_type", "entity_id")[:_MAX_CIRCLE]
    ]


def _entity_of(delivery: Delivery) -> LinkedEntity:
    return LinkedEntity(delivery.identity_id, delivery.entity_type, delivery.entity_id)


def _waits_of(delivery: Delivery) -> QuerySet[AwaitedRecord]:
    """Return the rows of the deliveries that wait for a value which the record of this one holds."""
    return AwaitedRecord.objects.filter(
        entity_id=delivery.entity_id,
        entity_type=delivery.entity_type,
        identity=delivery.identity_id,
        target=delivery.target_id,
        holds_value=True,
    )
