"""Store which entities a record refers to, and have it delivered again when one of them gets another record."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from database.clock import database_now
from database.statement import Statement
from sync.models import OPEN_STATES, SUCCESS_STATES, AwaitedRecord, Delivery, Link, RecordReference
from sync.planning.references import Reference

# Records that one new record makes due. `schedule_slice` finds the others.
MAX_REPLACED = 500
# Until a record is checked again: the records of other entities that it refers to may be replaced at the same time.
CHECK_AFTER_SECONDS = 15.0

# References of records to an entity whose record has another id now. A deleted record refers to nothing, and an entity
# without a record has no new id.
_OF_ENTITY, _OF_SLICE = (
    Statement(
        f"""SELECT r.id, r.record_id FROM sync_recordreference r JOIN sync_link o ON o.id = r.link_id
        JOIN sync_link l ON l.entity_id = r.entity_id AND l.entity_type = r.entity_type
        AND l.identity_id = o.identity_id AND l.target_id = o.target_id
        WHERE {condition} AND o.record_id <> '' AND l.record_id <> '' AND l.record_id <> r.record_id
        LIMIT %s"""  # noqa: S608
    )
    for condition in (
        "r.entity_id = %s AND r.entity_type = %s AND o.identity_id = %s AND o.target_id = %s",
        "r.id > %s AND r.id <= %s",
    )
)
_SUBJECT_COLUMNS = ("entity_id", "entity_type", "identity", "target")


@dataclass(frozen=True, slots=True)
class ReferenceChanges:
    """Changes to the stored references of a record after an attempt: keys of rows to delete, and new record ids."""

    outdated: frozenset[int]
    new: Mapping[Reference, str]

    def store(self, delivery: Delivery) -> None:
        """Store the changes. Call this in the transaction that writes the link of the delivery's subject."""
        RecordReference.objects.filter(pk__in=self.outdated).delete()
        link = _link_of(delivery).values_list("pk", flat=True).first()
        if link is None or not self.new:
            return
        RecordReference.objects.bulk_create(
            (
                RecordReference(
                    link_id=link,
                    entity_type=reference.entity_type,
                    entity_id=reference.entity_id,
                    record_id=record_id,
                )
                for reference, record_id in sorted(self.new.items())
            ),
            update_conflicts=True,
            unique_fields=["link", "entity_type", "entity_id"],
            update_fields=["record_id"],
        )


def find_changes(
    delivery: Delivery, linked: Mapping[Reference, str], *, is_partial: bool
) -> ReferenceChanges | None:
    """Compare the references that an attempt has written with those that are stored, in one statement. Returns None if
    they are the same.

    `is_partial`: the attempt knew only some fields of the record, so that other references stay.
    """
    stored = {
        Reference(entity_type, entity_id): (key, record_id)
        for key, entity_type, entity_id, record_id in RecordReference.objects.filter(
            link__in=_link_of(delivery)
        ).values_list("pk", "entity_type", "entity_id", "record_id")
    }
    outdated = frozenset(
        key for reference, (key, _) in stored.items() if reference not in linked and not is_partial
    )
    new = {
        reference: record_id
        for reference, record_id in linked.items()
        if stored.get(reference, (0, None))[1] != record_id
    }
    return ReferenceChanges(outdated, new) if outdated or new else None


def schedule_replaced(delivery: Delivery) -> int:
    """Have records checked again that refer to the entity of a delivery by the id of an earlier record; at most
    MAX_REPLACED. Returns their number.
    """
    return _schedule(_OF_ENTITY.fetch_all(*delivery.subject, MAX_REPLACED))


def schedule_all_replaced(slice_size: int) -> int:
    """Have all records checked again that refer to an entity by the id of an earlier record. Returns their number.

    Finds what `schedule_replaced` could not: where its process ended, a person chose the new record, or a delivery of
    the referring entity was open. Reads all rows, `slice_size` at a time, so that no statement is long.
    """
    scheduled = last_key = 0
    while keys := list(
        RecordReference.objects.filter(pk__gt=last_key)
        .order_by("pk")
        .values_list("pk", flat=True)[:slice_size]
    ):
        scheduled += _schedule(_OF_SLICE.fetch_all(last_key, keys[-1], slice_size))
        last_key = keys[-1]
    return scheduled


def _schedule(replaced: Iterable[tuple[int, str]]) -> int:
    """Make the newest delivery of each referring subject due, as one that lacks the new record.

    1. Lock the references; leave out those that an attempt has written anew meanwhile.
    2. Leave out subjects with an open delivery: it may have read the old id, and then stores it again. It writes the
       new one otherwise.
    3. Store that the newest delivery lacks the record: `begin_due_completions` runs it again.
    4. Delete the references, so that a new record makes a delivery due once. The next attempt stores them anew. Without
       a delivery, which is deleted with its event, nothing can be sent again.
    """
    outdated = dict(replaced)
    if not outdated:
        return 0
    with transaction.atomic():
        locked = RecordReference.objects.filter(pk__in=outdated).select_for_update(skip_locked=True)
        rows = [row for row in locked.order_by("pk") if row.record_id == outdated[row.pk]]
        subjects = _find_settled_subjects({row.link_id for row in rows})
        rows = [row for row in rows if row.link_id in subjects]
        AwaitedRecord.objects.bulk_create(
            (
                AwaitedRecord(
                    delivery_id=delivery,
                    identity_id=identity,
                    target_id=target,
                    entity_type=row.entity_type,
                    entity_id=row.entity_id,
                    due_at=database_now(plus_seconds=CHECK_AFTER_SECONDS),
                )
                for row, (delivery, identity, target) in ((row, subjects[row.link_id]) for row in rows)
                if delivery is not None
            ),
            ignore_conflicts=True,
        )
        RecordReference.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)


def _find_settled_subjects(links: set[int]) -> dict[int, tuple[int | None, int, int]]:
    """Return, by link, the newest delivery of the subject that succeeded and its two connections; None without such a
    delivery. Leaves out subjects with an open delivery.
    """
    of_subject = {column: OuterRef(column) for column in _SUBJECT_COLUMNS}
    # The events are found by their index on the entity; deliveries that have ended have none.
    succeeded = Delivery.objects.filter(
        **of_subject, event__entity_id=OuterRef("entity_id"), state__in=SUCCESS_STATES
    )
    rows = (
        Link.objects.filter(pk__in=links)
        .exclude(Exists(Delivery.objects.filter(**of_subject, state__in=OPEN_STATES)))
        .annotate(newest=Subquery(succeeded.order_by("-pk").values("pk")[:1]))
        .values_list("pk", "newest", "identity", "target")
    )
    return {link: (delivery, identity, target) for link, delivery, identity, target in rows}


def _link_of(delivery: Delivery) -> QuerySet[Link]:
    return Link.objects.filter(
        entity_id=delivery.entity_id,
        entity_type=delivery.entity_type,
        identity=delivery.identity_id,
        target=delivery.target_id,
    )
