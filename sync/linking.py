"""Subject ↔ record: read before an attempt, kept by the commit that settles it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.statements import Statement, as_time
from sync.attempting import Findings
from sync.claiming import Claim
from sync.models import Delivery, Link
from sync.planning import Action

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


def keep_link(claim: Claim, findings: Findings) -> None:
    """Remember which record belongs to the subject, or forget one that was deleted; in the settling commit.

    Of a relayed delivery also how new it was, even where there is no record: an older one must not undo a deletion.
    """
    delivery = claim.delivery
    is_deleted = findings.change is not None and findings.change.action is Action.DELETE
    values = {
        "applied_at": claim.attempt.ended_at,
        "record_id": "" if is_deleted else findings.record_id or None,
        "version": None if findings.entity is None else (findings.entity.version or "")[:128],
        "occurred_at": delivery.event.occurred_at if delivery.is_relayed else None,
    }
    subject = _subject(delivery)
    if not _KEEP.run(*values.values(), *subject.values()):
        known = {name: value for name, value in values.items() if value is not None}
        Link.objects.create(**subject, **known)


def _subject(delivery: Delivery) -> dict[str, Any]:
    return {
        "entity_id": delivery.entity_id,
        "entity_type": delivery.entity_type,
        "identity_id": delivery.identity_id,
        "commercial_id": delivery.commercial_id,
    }
