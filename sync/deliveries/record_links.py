"""The link from a subject to its record: read by the commit that claims, written by the one that settles."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from database.model_rows import new_row
from database.statement import BoundStatement, Statement
from database.values import parse_optional_timestamp
from sync.deliveries.predicates import MATCHES_SUBJECT, SUBJECT_COLUMNS, subject_of
from sync.models import Delivery, Link

_READ_LINK = Statement(f"SELECT record_id, occurred_at FROM sync_link WHERE {MATCHES_SUBJECT}")  # noqa: S608
# COALESCE: an attempt that does not know a value must not erase the stored one.
_UPDATE_LINK = Statement(
    f"""UPDATE sync_link SET applied_at = %s, record_id = COALESCE(%s, record_id),
    version = COALESCE(%s, version), occurred_at = COALESCE(%s, occurred_at) WHERE {MATCHES_SUBJECT}"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class RecordLink:
    """The record of a subject, None if it was deleted, and the newest relayed timestamp that was applied."""

    record_id: str | None
    occurred_at: datetime | None

    @classmethod
    def from_columns(cls, record_id: str, occurred_at: Any) -> Self:
        """Make a link of two columns of `sync_link`."""
        # An empty id marks a record that was deleted.
        return cls(record_id or None, parse_optional_timestamp(occurred_at))


def read_link(delivery: Delivery) -> RecordLink | None:
    """Read the link of a delivery's subject; None if there is none."""
    row = _READ_LINK.fetch_one(*subject_of(delivery))
    return None if row is None else RecordLink.from_columns(*row)


def is_linked_to_other_entity(delivery: Delivery, record_id: str) -> bool:
    """True if a record belongs to another entity of the same identity service."""
    links = Link.objects.filter(
        commercial=delivery.commercial_id,
        record_id=record_id,
        entity_type=delivery.entity_type,
        identity=delivery.identity_id,
    )
    return links.exclude(entity_id=delivery.entity_id).exists()


@dataclass(frozen=True, slots=True)
class AppliedRecord:
    """The values that a settled attempt writes to the link.

    `record_id`: empty if the record was deleted, None if it is not known. `occurred_at`: the relayed timestamp.
    """

    applied_at: datetime
    record_id: str | None
    version: str | None
    occurred_at: datetime | None


def link_update(delivery: Delivery, applied: AppliedRecord) -> BoundStatement:
    """Return the update of an existing link; an empty record id marks the record as deleted."""
    return _UPDATE_LINK.bind(*_link_values(applied), *subject_of(delivery))


def new_link(delivery: Delivery, applied: AppliedRecord) -> Link:
    """Return the subject's first link, to be inserted."""
    names = ("applied_at", "record_id", "version", "occurred_at")
    # `record_id` and `version` are not nullable: unknown values are left to their defaults.
    known = {
        name: value for name, value in zip(names, _link_values(applied), strict=True) if value is not None
    }
    subject: dict[str, Any] = dict(zip(SUBJECT_COLUMNS, subject_of(delivery), strict=True))
    return new_row(Link, **subject, **known)


def _link_values(applied: AppliedRecord) -> tuple[Any, ...]:
    return applied.applied_at, applied.record_id, applied.version, applied.occurred_at
