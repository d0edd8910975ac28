"""The link from a subject to its record: read by the commit that claims, written by the one that settles."""

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from database.model_rows import new_row
from database.statement import BoundStatement, Statement
from database.values import parse_optional_timestamp
from sync.deliveries.predicates import MATCHES_SUBJECT, subject_filter
from sync.deliveries.routes import types_of_same_target
from sync.models import Connection, Delivery, Link
from sync.planning.references import LinkedEntity
from sync.planning.unkept_fields import WriteCount, WriteCounts, list_unkept
from webhooks.models import Event

_READ_LINK = Statement(
    f"""SELECT record_id, occurred_at, write_counts, external_id_field, left_scope_at FROM sync_link
    WHERE {MATCHES_SUBJECT}"""  # noqa: S608
)
# COALESCE: an attempt that does not know a value must not erase the stored one.
_UPDATE_LINK = Statement(
    f"""UPDATE sync_link SET applied_at = %s, record_id = COALESCE(%s, record_id),
    version = COALESCE(%s, version), occurred_at = COALESCE(%s, occurred_at), write_counts = %s, unkept_fields = %s,
    external_id_field = COALESCE(%s, external_id_field),
    withheld_fields = CASE WHEN %s THEN withheld_fields ELSE %s END,
    left_scope_at = CASE WHEN %s THEN left_scope_at ELSE %s END
    WHERE {MATCHES_SUBJECT}"""  # noqa: S608
)
_NEWEST_LINKS = 500

logger = logging.getLogger("hub.deliver")


@dataclass(frozen=True, slots=True)
class RecordLink:
    """The record of a subject, and the newest relayed timestamp that was applied to it.

    `record_id` is None if the record was deleted. `write_counts` covers the fields of the record that were written
    since they last had their value. `external_id_field` is the field in which the record has shown the entity's id,
    empty if it never has. `left_scope_at`: when the entity left the scope of its route, None if it is in it.
    """

    record_id: str | None
    occurred_at: datetime | None
    write_counts: WriteCounts = field(default_factory=dict)
    external_id_field: str = ""
    left_scope_at: datetime | None = None

    @classmethod
    def from_columns(
        cls,
        record_id: str,
        occurred_at: Any,
        write_counts: str | None,
        external_id_field: str | None,
        left_scope_at: Any = None,
    ) -> Self:
        """Make a link of five columns of `sync_link`."""
        counts = json.loads(write_counts) if write_counts else {}
        # An empty id marks a record that was deleted.
        return cls(
            record_id or None,
            occurred_at and parse_optional_timestamp(occurred_at),
            {name: WriteCount(digest, number) for name, (digest, number) in counts.items()},
            external_id_field or "",
            left_scope_at and parse_optional_timestamp(left_scope_at),
        )


def read_link(delivery: Delivery) -> RecordLink | None:
    """Read the link of a delivery's subject; None if there is none."""
    row = _READ_LINK.fetch_one(*delivery.subject)
    return None if row is None else RecordLink.from_columns(*row)


def other_owners(delivery: Delivery, record_id: str) -> frozenset[str]:
    """Return the ids of the other subjects that are linked to a record, of any identity service and under any name of
    its entity type.
    """
    return frozenset(_links_of_others(delivery, record_id).values_list("entity_id", flat=True))


def linked_entities(delivery: Delivery, record_id: str) -> list[LinkedEntity]:
    """Return the other entities that are linked to a record, of any identity service."""
    links = _links_of_others(delivery, record_id)
    return [LinkedEntity(*row) for row in links.values_list("identity", "entity_type", "entity_id")]


def _links_of_others(delivery: Delivery, record_id: str) -> QuerySet[Link]:
    links = Link.objects.filter(
        target=delivery.target_id, record_id=record_id, entity_type__in=types_of_same_target(delivery)
    )
    return links.exclude(**_own_subject(delivery))


def _own_subject(delivery: Delivery) -> dict[str, Any]:
    return {
        "identity": delivery.identity_id,
        "entity_type": delivery.entity_type,
        "entity_id": delivery.entity_id,
    }


def has_linked_entity(delivery: Delivery, entity_id: str) -> bool:
    """True if an entity with this id, of any identity service, has a link in the delivery's target, and the linked
    record has the type of the delivery's record.
    """
    links = Link.objects.filter(
        target=delivery.target_id, entity_id=entity_id, entity_type__in=types_of_same_target(delivery)
    )
    return links.exists()


def release_record_id(delivery: Delivery, record_id: str) -> None:
    """Mark the records of other subjects with this id as deleted: the target has just given it to a new record."""
    links = _links_of_others(delivery, record_id)
    if links.exists():
        links.update(
            record_id="", write_counts=None, unkept_fields=None, external_id_field="", withheld_fields=None
        )


def bind_record(delivery: Delivery, record_id: str, external_id_field: str = "") -> bool:
    """Link a record to the delivery's subject, before the record is changed. `external_id_field`: the field in which it
    bears the subject's id, empty if that is not proven.

    Returns False, having written nothing, if the record is linked to another subject and does not prove that it is this
    one's.

    1. Lock the target connection: bindings of its records are decided one after the other.
    2. Check that no other subject is linked to the record. If it bears the id of this one, the links of the others are
       unproven from now on, with an entry for each.
    3. Write the link.
    """
    with transaction.atomic():
        # FOR NO KEY UPDATE: transactions that insert rows which refer to the connection need not wait.
        Connection.objects.select_for_update(no_key=True).values_list("pk").get(pk=delivery.target_id)
        others = list(_links_of_others(delivery, record_id))
        if others and not external_id_field:
            return False
        for link in others:
            _mark_unproven(link)
        # The writes of another record say nothing about this one.
        values = {
            "record_id": record_id,
            "applied_at": timezone.now(),
            "write_counts": None,
            "unkept_fields": None,
            "external_id_field": external_id_field,
            "proof_failed_at": None,
        }
        Link.objects.update_or_create(**subject_filter(delivery), defaults=values)
    return True


def note_failed_proof(delivery: Delivery) -> None:
    """Note that the record linked to the delivery's subject bears another external id, or none.

    One statement, and none for any other attempt: `sync.operations.ids_changed` counts these links.
    """
    try:
        Link.objects.filter(**subject_filter(delivery)).update(proof_failed_at=timezone.now())
    except DatabaseError as error:
        logger.warning("the failed proof of %s could not be counted (%s)", delivery, type(error).__name__)


def _mark_unproven(link: Link) -> None:
    """Note that the record of a link bears the external id of another entity. The entry does not name the record, whose
    id may identify a person.
    """
    Link.objects.filter(pk=link.pk).update(external_id_field="")
    details = {"connection": link.target.slug}
    stream = stream_of_entity(link.entity_type, link.entity_id, link.target)
    append_entries(NewEntry(stream, "link.unproven", details=details))


def stream_of_entity(entity_type: str, entity_id: str, target: Connection) -> str:
    """Return the stream of an entity's newest event, where a search for the entity finds an entry; that of the target
    connection if no event is stored.
    """
    events = Event.objects.filter(entity_id=entity_id, entity_type=entity_type)
    newest = events.order_by("-received_at", "-id").first()
    return newest.stream if newest else f"setting:connection:{target.pk}"


def known_entity_ids(delivery: Delivery) -> list[str]:
    """Return the newest linked entities of the delivery's type and identity service."""
    return [
        link.entity_id
        for link in _select_newest_links()
        if (link.identity_id, link.entity_type) == (delivery.identity_id, delivery.entity_type)
    ]


def known_record_ids(delivery: Delivery) -> list[str]:
    """Return the newest linked records of the delivery's target connection and of its entity type there."""
    types = types_of_same_target(delivery)
    return [
        link.record_id
        for link in _select_newest_links()
        if link.target_id == delivery.target_id and link.entity_type in types and link.record_id
    ]


def newest_links_of(connection: Connection) -> list[Link]:
    """Return the newest links of a connection to either side whose record was not deleted."""
    return [
        link
        for link in _select_newest_links()
        if connection.pk in (link.identity_id, link.target_id) and link.record_id
    ]


def _select_newest_links() -> QuerySet[Link]:
    # By key, and few: no index leads to the links of one type, and there may be millions.
    return Link.objects.order_by("-pk")[:_NEWEST_LINKS]


@dataclass(frozen=True, slots=True)
class AppliedRecord:
    """The values that a settled attempt writes to the link.

    `record_id` is empty if the record was deleted, and None if it is not known. `occurred_at` is the relayed timestamp.
    `write_counts` are the counts after this attempt. `external_id_field`: the field in which the record bears the
    entity's id, empty if it bears another one there, None if that is not known. `withheld_fields` had no value in any
    entity and were left out; None leaves the stored ones unchanged, because only a part of the entity was known.
    `left_scope_at`: when the entity left the scope of its route, None if it is in it; not written if it
    `keeps_left_scope`.
    """

    applied_at: datetime
    record_id: str | None
    version: str | None
    occurred_at: datetime | None
    write_counts: WriteCounts = field(default_factory=dict)
    external_id_field: str | None = None
    withheld_fields: tuple[str, ...] | None = ()
    left_scope_at: datetime | None = None
    keeps_left_scope: bool = True


def link_update(delivery: Delivery, applied: AppliedRecord) -> BoundStatement:
    """Return the update of an existing link; an empty record id marks the record as deleted."""
    *values, withheld = _link_values(applied)
    keeps_withheld = applied.withheld_fields is None
    scope = (applied.keeps_left_scope, applied.left_scope_at)
    return _UPDATE_LINK.bind(*values, keeps_withheld, withheld, *scope, *delivery.subject)


def new_link(delivery: Delivery, applied: AppliedRecord) -> Link:
    """Return the subject's first link, to be inserted."""
    names = (
        *("applied_at", "record_id", "version", "occurred_at", "write_counts", "unkept_fields"),
        *("external_id_field", "withheld_fields"),
    )
    # Some columns are not nullable: unknown values are left to their defaults.
    known = {
        name: value for name, value in zip(names, _link_values(applied), strict=True) if value is not None
    }
    return new_row(Link, **subject_filter(delivery), left_scope_at=applied.left_scope_at, **known)


def _link_values(applied: AppliedRecord) -> tuple[Any, ...]:
    counts, unkept = applied.write_counts, list_unkept(applied.write_counts)
    return (
        applied.applied_at,
        applied.record_id,
        applied.version,
        applied.occurred_at,
        _encode({name: (count.digest, count.number) for name, count in counts.items()}) if counts else None,
        _encode(unkept) if unkept else None,
        applied.external_id_field,
        _encode(applied.withheld_fields) if applied.withheld_fields else None,
    )


def _encode(document: Any) -> str:
    # ASCII only: a name may contain what the database's text cannot.
    return json.dumps(document, separators=(",", ":"))
