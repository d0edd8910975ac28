"""Store which entity's record holds a value that the target refused to another record, and check that one again once it
may be free: after some seconds, and whenever the holder's record was written or confirmed since.

A record that gives its own value up waits for itself: a row that names its own entity and record, stored before the
write, has it checked again, less and less often, until a delivery of the entity succeeds or a person closes it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import F, Q, QuerySet

from database.clock import database_now
from database.statement import Statement
from sync.models import SETTLED_STATES, Attempt, AttemptCause, AttemptOutcome, AwaitedRecord, Delivery
from sync.models.delivery import sql_list
from sync.planning.references import LinkedEntity
from sync.references.missing_references import waited_time
from webhooks.models import State

# The webhook of the other entity is mostly a moment away.
FIRST_CHECK_SECONDS = 5.0
# Between two checks of a record that waits for nobody whose webhook would end the wait.
MAX_CHECK_SECONDS = 3600.0
# Rows that one round looks at, the newest first. Older ones wait for a webhook of their own entity.
MAX_WATCHED = 2_000
# Holders of the deliveries of one event that a page names.
MAX_SHOWN = 10
# Those that may still run, or have just ended.
_RECENT_ATTEMPTS = 200
# The largest circle of entities that is found: each wants the value that the next one holds.
_MAX_CIRCLE = 10
# A row that names the entity of its own delivery.
_DELIVERY_ENTITY = {name: F(f"delivery__{name}") for name in ("entity_id", "entity_type", "identity")}
# Of deliveries that need nothing any more.
_OVERCOME_STATES = tuple(state for state in SETTLED_STATES if state != State.DEAD)

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
    """The entities, of any identity service, whose records hold values that the target refused to a record, each with
    the id of that record; "" if it is only a guess.

    `is_released`: the record has given up its own value, now or earlier, and another one waits for it. `is_unclear`:
    the values cannot be searched for, or no record has them any more.
    """

    holders: Mapping[LinkedEntity, str] = field(default_factory=dict)
    is_released: bool = False
    is_unclear: bool = False


NONE_TAKEN = TakenValues()


def known_holders(delivery: Delivery) -> Mapping[LinkedEntity, str]:
    """Return the entities whose records a search has shown to hold a value that the delivery's entity waits for, each
    with the id of that record.
    """
    own = _entity_of(delivery)
    rows = _rows_of_entity(delivery, own).exclude(record_id="").exclude(**_subject_of(delivery))
    names = ("identity", "entity_type", "entity_id", "record_id")
    return {LinkedEntity(*row[:3]): row[3] for row in rows.values_list(*names)[:_MAX_CIRCLE]}


def find_changing(delivery: Delivery, attempt: Attempt) -> Mapping[LinkedEntity, str]:
    """Return who may have held a value that was refused and that no record has any more: one entity whose record is
    written now or was since the attempt began. After a re-check only one that it waited for, if that was known.
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
        own = _entity_of(delivery)
        awaited = _awaited_by(delivery, own)
        entities = [entity for entity in entities if entity in awaited or own in awaited]
    return dict.fromkeys(entities[:1], "")


def store_holders(delivery: Delivery, taken: TakenValues, cause: str) -> None:
    """Store the holders for a delivery that has failed, in place of those of its earlier attempts.

    It is checked again soon, but not if it was just checked: then only once a holder's record is written. So a true
    conflict is tried twice, and not again and again. Where it is unclear who holds the value, it is checked again by
    itself, as long as its route retries.
    """
    rows = AwaitedRecord.objects.filter(delivery=delivery.pk, holds_value=True)
    rows.exclude(_is_given_up(delivery)).delete()
    seconds = None if cause == AttemptCause.RECHECK else FIRST_CHECK_SECONDS
    holders = taken.holders
    if taken.is_unclear:
        holders = holders or {_entity_of(delivery): ""}
        is_wait_over = waited_time(delivery) >= timedelta(hours=delivery.route.gives_up_after_hours)
        seconds = None if is_wait_over else _check_delay(delivery)
    _insert_holders(delivery, holders, seconds)
    if taken.is_released:
        # One that waits may have been checked meanwhile. Two that have given up their values make each other due, so
        # less and less often.
        delay = _check_delay(delivery) if cause == AttemptCause.RECHECK else 0.0
        _waits_of(delivery).exclude(delivery=delivery.pk).update(due_at=database_now(plus_seconds=delay))


def store_given_up(delivery: Delivery, record_id: str) -> bool:
    """Store that a record gives up its own value. Call this before the write, in a commit of its own: whatever becomes
    of the attempt, the record is checked again. Returns False if an earlier attempt has stored it.
    """
    own = AwaitedRecord.objects.filter(delivery=delivery.pk, **_subject_of(delivery))
    if own.filter(_is_given_up(delivery)).exists():
        return False
    # An attempt that could not find out who has the value has stored a row without the record.
    own.delete()
    _insert_holders(delivery, {_entity_of(delivery): record_id}, FIRST_CHECK_SECONDS)
    return True


def remove_given_up(delivery: Delivery) -> None:
    """Remove what `store_given_up` has stored: the target has refused the write, so the record has its value."""
    AwaitedRecord.objects.filter(_is_given_up(delivery), delivery=delivery.pk).delete()


def keep_holders(waiting: Delivery, chosen: Delivery) -> int:
    """Let the waits of a delivery be those of `chosen`, which begins now in its place, until its attempt has ended:
    another entity that waits for this one finds them. Returns the number of those that were due.

    A record that has given up its value is checked again later, unless this succeeds. Deletes the waits of a delivery
    that needs nothing any more.
    """
    rows = AwaitedRecord.objects.filter(delivery=waiting.pk, holds_value=True)
    if waiting.state in _OVERCOME_STATES:
        rows.delete()
        return 0
    is_due = Q(due_at__isnull=False)
    given_up = rows.filter(is_due & _is_given_up(waiting))
    due = given_up.update(due_at=database_now(plus_seconds=_check_delay(waiting)))
    due += rows.filter(is_due & ~_is_given_up(waiting)).update(due_at=None)
    if due and waiting.pk != chosen.pk:
        moved = list(rows)
        rows.delete()
        for row in moved:
            row.pk, row.delivery_id = None, chosen.pk
        AwaitedRecord.objects.bulk_create(moved, ignore_conflicts=True)
    return due


def _check_delay(delivery: Delivery) -> float:
    """Return the seconds until the next check: the longer ago the webhook or the last replay was, the more."""
    return min(max(waited_time(delivery).total_seconds() / 2, FIRST_CHECK_SECONDS), MAX_CHECK_SECONDS)


def _insert_holders(delivery: Delivery, holders: Mapping[LinkedEntity, str], seconds: float | None) -> None:
    rows = (
        AwaitedRecord(
            delivery_id=delivery.pk,
            identity_id=holder.identity_id,
            target_id=delivery.target_id,
            entity_type=holder.entity_type,
            entity_id=holder.entity_id,
            record_id=record_id,
            holds_value=True,
            due_at=None if seconds is None else database_now(plus_seconds=seconds),
        )
        for holder, record_id in sorted(holders.items())
    )
    # The record may refer to the holder too, and wait for it already.
    AwaitedRecord.objects.bulk_create(rows, ignore_conflicts=True)


def load_holders(deliveries: Sequence[Delivery]) -> Mapping[int, Sequence[AwaitedRecord]]:
    """Return the holders of the values that were refused to these deliveries, with their identity connections; at most
    MAX_SHOWN. Reads nothing for no deliveries.
    """
    found: dict[int, list[AwaitedRecord]] = defaultdict(list)
    if deliveries:
        rows = AwaitedRecord.objects.filter(delivery__in=deliveries, holds_value=True)
        # A row of its own entity: only the record itself must change.
        rows = rows.exclude(**_DELIVERY_ENTITY)
        for row in rows.select_related("identity").order_by("pk")[:MAX_SHOWN]:
            found[row.delivery_id].append(row)
    return found


def find_given_up(deliveries: Sequence[Delivery]) -> frozenset[int]:
    """Return the keys of those deliveries whose record has given up its own value. Reads nothing for no deliveries."""
    if not deliveries:
        return frozenset()
    rows = AwaitedRecord.objects.filter(delivery__in=deliveries, holds_value=True, **_DELIVERY_ENTITY)
    return frozenset(rows.exclude(record_id="").values_list("delivery", flat=True))


def schedule_freed() -> int:
    """Schedule failed deliveries whose holder's record was written or confirmed since. Returns how many rows."""
    return _SCHEDULE_FREED.execute()


def find_waiters(delivery: Delivery, holders: Iterable[LinkedEntity]) -> frozenset[LinkedEntity]:
    """Return the entities that wait for a value which the delivery's record holds, and that one of the holders is or
    waits for, maybe through others: the delivery would close a circle. Empty if it closes none.
    """
    own = _entity_of(delivery)
    reached, latest = set(holders), set(holders)
    for _ in range(_MAX_CIRCLE):
        awaited = {entity: set(_awaited_by(delivery, entity)) for entity in latest}
        if waiters := frozenset(entity for entity, others in awaited.items() if own in others):
            return waiters
        latest = {holder for others in awaited.values() for holder in others} - reached
        reached |= latest
    return frozenset()


def _awaited_by(delivery: Delivery, entity: LinkedEntity) -> list[LinkedEntity]:
    """Return the holders that an entity waits for."""
    rows = _rows_of_entity(delivery, entity)
    return [
        LinkedEntity(*row) for row in rows.values_list("identity", "entity_type", "entity_id")[:_MAX_CIRCLE]
    ]


def _rows_of_entity(delivery: Delivery, entity: LinkedEntity) -> QuerySet[AwaitedRecord]:
    """Return the holders that an entity waits for in the delivery's target. Its events are found by their index on the
    entity.
    """
    rows = AwaitedRecord.objects.filter(
        delivery__event__entity_id=entity.entity_id,
        delivery__entity_type=entity.entity_type,
        delivery__identity=entity.identity_id,
        target=delivery.target_id,
        holds_value=True,
    )
    return rows.exclude(delivery__state__in=_OVERCOME_STATES)


def _subject_of(delivery: Delivery) -> dict[str, Any]:
    """Return the columns of the delivery's entity and target with their values, for a filter."""
    return {
        "entity_id": delivery.entity_id,
        "entity_type": delivery.entity_type,
        "identity": delivery.identity_id,
        "target": delivery.target_id,
    }


def _entity_of(delivery: Delivery) -> LinkedEntity:
    return LinkedEntity(delivery.identity_id, delivery.entity_type, delivery.entity_id)


def _is_given_up(delivery: Delivery) -> Q:
    """Match the row which says that the delivery's record has given up its own value."""
    return Q(**_subject_of(delivery), record_id__gt="")


def _waits_of(delivery: Delivery) -> QuerySet[AwaitedRecord]:
    """Return the rows of the deliveries that wait for a value which the record of this one holds."""
    return AwaitedRecord.objects.filter(**_subject_of(delivery), holds_value=True)
