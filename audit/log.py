"""Append to the audit log, in the transaction of the change that is being recorded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from django.db import connection
from django.utils import timezone

from audit.canonical import JSONValue, canonical
from audit.circumstances import with_circumstances
from audit.hashing import leaf_of
from audit.heads import START, End, first_ends, take_ends
from audit.joining import together
from audit.records import time_text
from audit.statements import Bound

SYSTEM = "system"
VERSION = 2
BATCH = 1000
_COLUMNS = ("stream", "at", "action", "actor", "body", "stream_seq", "prev_leaf", "leaf")


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
    texts = _texts(happenings, moment)  # refused before a head is moved on
    return _entries(happenings, moment, texts, take_ends(_counts(happenings)))


def beginning(*happenings: Happening, at: datetime | None = None) -> list[Bound]:
    """The same where each stream begins with it, so that nothing has to be asked first, in a transaction or by one
    statement. Whatever runs it meets an IntegrityError where a stream is there already.
    """
    moment = at or timezone.now()
    texts, counts = _texts(happenings, moment), _counts(happenings)
    return [first_ends(counts), *_entries(happenings, moment, texts, dict.fromkeys(counts, START))]


def _counts(happenings: Sequence[Happening]) -> Counter[str]:
    return Counter(each.stream for each in happenings)


def _texts(happenings: Sequence[Happening], at: datetime) -> list[str]:
    said = time_text(at)
    return [_text(each, said) for each in happenings]


def _entries(
    happenings: Sequence[Happening], at: datetime, texts: Sequence[str], ends: dict[str, End]
) -> list[Bound]:
    rows = [_row(happening, at, text, ends) for happening, text in zip(happenings, texts, strict=True)]
    return [_insertion(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]


def _text(happening: Happening, at: str) -> str:
    """The canonical body up to where its place in the chain begins: the names of that sort after all others."""
    deed = f'"action":{quoted(happening.action)},"actor":{quoted(happening.actor)}'
    details = with_circumstances(happening.actor, happening.details)
    return f'{{{deed},"at":"{at}","details":{canonical(details)}'


def _row(happening: Happening, at: datetime, text: str, ends: dict[str, End]) -> tuple[Any, ...]:
    """The next entry of its stream, which ends with it from now on: the values of `_COLUMNS`."""
    stream = happening.stream
    before = ends[stream]
    seq = before.seq + 1
    place = f'"stream":{quoted(stream)},"stream_seq":{seq},"v":{VERSION}'
    body = f'{text},"prev_leaf":"{before.leaf.hex()}",{place}}}'
    leaf = leaf_of(body)
    ends[stream] = End(seq, leaf)
    return stream, at, happening.action, happening.actor, body, seq, before.leaf, leaf


def _insertion(rows: Sequence[tuple[Any, ...]]) -> Bound:
    return Bound(_inserting(len(rows)), [value for row in rows for value in row])


@lru_cache(maxsize=64)
def _inserting(rows: int) -> str:
    row = f"({', '.join(['%s'] * len(_COLUMNS))})"
    return f"INSERT INTO audit_entry ({', '.join(_COLUMNS)}) VALUES {', '.join([row] * rows)}"  # noqa: S608
