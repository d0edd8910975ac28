"""Subject ↔ record: read by the commit that claims a delivery, kept by the one that settles it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.statements import Statement, as_time
from sync.models import Delivery, Link

_SUBJECT = "entity_id = %s AND entity_type = %s AND identity_id = %s AND commercial_id = %s"
_LINK = Statement(f"SELECT record_id, occurred_at FROM sync_link WHERE {_SUBJECT}")  # noqa: S608
_KEEP = Statement(
    f"""UPDATE sync_link SET applied_at = %s, record_id = COALESCE(%s, record_id),
    version = COALESCE(%s, version), occurred_at = COALESCE(%s, occurred_at) WHERE {_SUBJECT}"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class Linked:
    """The record that belongs to a subject, None where it was deleted, and how new what was relayed is."""

    record_id: str | None
    occurred_at: datetime | None


def linked(delivery: Delivery) -> Linked | None:
    """What is known of the subject's record."""
    found = _LINK.row(*_subject(delivery).values())
    if found is None:
        return None
    record_id, occurred_at = found
    return Linked(record_id or None, as_time(occurred_at))


@dataclass(frozen=True, slots=True)
class Applied:
    """What an attempt leaves behind: `record_id` is empty where there is no record, None where nothing is known of it;
    `occurred_at` how new what was relayed is.
    """

    at: datetime
    record_id: str | None
    version: str | None
    occurred_at: datetime | None


def keep_link(delivery: Delivery, applied: Applied) -> None:
    """Remember which record belongs to the subject, or forget one that was deleted; in the settling commit."""
    subject = _subject(delivery)
    values = (applied.at, applied.record_id, applied.version, applied.occurred_at)
    if not _KEEP.run(*values, *subject.values()):
        names = ("applied_at", "record_id", "version", "occurred_at")
        known = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        Link.objects.create(**subject, **known)


def _subject(delivery: Delivery) -> dict[str, Any]:
    return {
        "entity_id": delivery.entity_id,
        "entity_type": delivery.entity_type,
        "identity_id": delivery.identity_id,
        "commercial_id": delivery.commercial_id,
    }
