"""Append to the audit log, in the transaction of the change that is being recorded."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection
from django.utils import timezone

from audit.canonical import JSONValue, canonical
from audit.hashing import leaf_of
from audit.heads import End, take_ends
from audit.models import Entry
from audit.records import time_text
from audit.statements import Bound, together
from audit.storing import fresh, insertion

SYSTEM = "system"
VERSION = 2
BATCH = 1000


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
    """Record what happened, in order, each at the end of its stream: two statements.

    `NotInTransaction` outside a transaction; `TypeError` or `ValueError` for details without a canonical form.
    """
    for write in appending(*happenings, at=at) if happenings else ():
        together(write)


def appending(*happenings: Happening, at: datetime | None = None) -> list[Bound]:
    """What is left of `append`, to be run in this same transaction, `together` with other writes where there are few.

    Nothing else may be appended to these streams in between. Raises what `append` raises.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("append() belongs into the transaction of the change that it records")
    moment = at or timezone.now()
    texts = [_text(happening, moment) for happening in happenings]  # refused before a head is moved on
    ends = take_ends(Counter(each.stream for each in happenings))
    entries = [
        _entry(happening, moment, text, ends) for happening, text in zip(happenings, texts, strict=True)
    ]
    return [insertion(*entries[start : start + BATCH]) for start in range(0, len(entries), BATCH)]


def _text(happening: Happening, at: datetime) -> str:
    """The canonical body up to where its place in the chain begins: the names of that sort after all others."""
    begun = canonical(
        {
            "action": happening.action,
            "actor": happening.actor,
            "at": time_text(at),
            "details": happening.details,
        }
    )
    return begun.removesuffix("}")


def _entry(happening: Happening, at: datetime, text: str, ends: dict[str, End]) -> Entry:
    """The next entry of its stream, which ends with it from now on."""
    end = ends[happening.stream]
    place = {
        "prev_leaf": end.leaf.hex(),
        "stream": happening.stream,
        "stream_seq": end.seq + 1,
        "v": VERSION,
    }
    body = f"{text},{canonical(place).removeprefix('{')}"
    following = End(end.seq + 1, leaf_of(body))
    ends[happening.stream] = following
    return fresh(
        Entry,
        stream=happening.stream,
        at=at,
        action=happening.action,
        actor=happening.actor,
        body=body,
        stream_seq=following.seq,
        prev_leaf=end.leaf,
        leaf=following.leaf,
    )
