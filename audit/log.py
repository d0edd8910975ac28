"""Append to the audit log, in the transaction of the change that is being recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import connection
from django.utils import timezone

from audit.canonical import JSONValue, canonical
from audit.models import Entry
from audit.storing import fresh, insert

SYSTEM = "system"


class NotInTransaction(RuntimeError):
    """An entry must be committed together with the change that it records, or not at all."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that somebody may ask about later.

    `stream` names what it is about (`event:<reference>`, `delivery:<id>`, `person:<id>`, `setting:<kind>:<id>`),
    `action` what happened (`webhook.received`), `actor` who did it. `details` holds no personal data: identifiers
    of ours, codes, numbers, setting values that are no secrets.
    """

    stream: str
    action: str
    actor: str = SYSTEM
    details: Mapping[str, JSONValue] = field(default_factory=dict)


def append(*happenings: Happening, at: datetime | None = None) -> None:
    """Record what happened, in order, with one statement.

    `NotInTransaction` outside a transaction; `TypeError` or `ValueError` for details without a canonical form.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("append() belongs into the transaction of the change that it records")
    moment = at or timezone.now()
    insert(*(_entry(happening, moment) for happening in happenings))


def _entry(happening: Happening, at: datetime) -> Entry:
    body = {
        "v": 1,
        "stream": happening.stream,
        "at": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "action": happening.action,
        "actor": happening.actor,
        "details": happening.details,
    }
    return fresh(
        Entry,
        stream=happening.stream,
        at=at,
        action=happening.action,
        actor=happening.actor,
        body=canonical(body),
    )
