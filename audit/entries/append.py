"""Append to the audit log, in the transaction of the change that is being recorded."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.entries.actor_context import with_circumstances
from audit.entries.stream_heads import START, End, ends_of
from audit.format.canonical_json import JSONValue, canonical
from audit.format.hashes import leaf_of
from audit.format.signed_records import time_text
from database.statement import Bound
from database.write_batch import together

SYSTEM = "system"
VERSION = 1
BATCH = 1000
_COLLISIONS = 100
_COLUMNS = ("stream", "at", "action", "actor", "body", "stream_seq", "prev_leaf", "leaf")


class NotInTransaction(RuntimeError):
    """An entry must be committed together with the change that it records, or not at all."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that somebody may ask about later.

    `stream` names what it is about (`event:<reference>`, `delivery:<reference>:<route>`, `person:<id>`,
    `setting:<kind>:<id>`), `action` what happened (`webhook.received`), `actor` who did it. `details` holds no personal
    data: identifiers of ours, codes, numbers, setting values that are no secrets.
    """

    stream: str
    action: str
    actor: str = SYSTEM
    details: Mapping[str, JSONValue] = field(default_factory=dict)


_Said = tuple[Happening, datetime, str]  # with its time and the beginning of its entry's body


def append(*happenings: Happening, at: datetime | None = None) -> None:
    """Record what happened, in order, each at the end of its stream: two statements.

    `NotInTransaction` outside a transaction; `TypeError` or `ValueError` for details without a canonical form. Where
    somebody else appends to one of these streams, it waits for the end of that transaction.
    """
    _check_in_transaction()
    moment = at or timezone.now()
    said = _said(happenings, moment)
    for tries_left in reversed(range(_tries() if said else 0)):
        try:
            with _undone_alone():
                for write in _appended(said, {}).writes:
                    together(write)
            return
        except IntegrityError:  # somebody appended since we looked
            if not tries_left:
                raise


@dataclass(frozen=True, slots=True)
class Appending:
    """Entries that are about to be stored by `writes`, and where their streams end then."""

    writes: Sequence[Bound] = ()
    ends: Mapping[str, End] = field(default_factory=dict)


def appending(
    *happenings: Happening, at: datetime | None = None, ends: Mapping[str, End] | None = None
) -> Appending:
    """What is left of `append`, to be run in this same transaction, `together` with other writes where there are few.

    Where somebody else appends to one of these streams, it waits, and then meets an IntegrityError: run the whole
    transaction again. `ends`: where some of them ended, by a commit that is over; the others are asked for. Raises
    what `append` raises.
    """
    _check_in_transaction()
    moment = at or timezone.now()
    return _appended(_said(happenings, moment), ends or {})


def beginning(*happenings: tuple[Happening, datetime]) -> Appending:
    """The same where each stream begins with it, so that nothing has to be asked first, in a transaction or by one
    statement; each with its own time. Whatever runs it meets an IntegrityError where a stream is there already.
    """
    said = [(each, at, _text(each, time_text(at))) for each, at in happenings]
    return _entries(said, {each.stream: START for each, _ in happenings})


def following(*happenings: Happening, at: datetime, ends: Mapping[str, End]) -> Appending:
    """The same where each of these streams ended by a commit that is over, as `appending` has it, by one statement."""
    return _entries(_in_order(_said(happenings, at)), {each.stream: ends[each.stream] for each in happenings})


def _check_in_transaction() -> None:
    if not connection.in_atomic_block:
        raise NotInTransaction("append() belongs into the transaction of the change that it records")


def _tries() -> int:
    """On SQLite there is but one writer, and nothing to wait for."""
    return _COLLISIONS if connection.vendor == "postgresql" else 1


def _undone_alone() -> AbstractContextManager[Any]:
    """What fails within it is undone, and the transaction goes on."""
    return transaction.atomic() if connection.vendor == "postgresql" else nullcontext()


def _said(happenings: Sequence[Happening], at: datetime) -> list[_Said]:
    moment = time_text(at)
    return [(each, at, _text(each, moment)) for each in happenings]


def _appended(said: Sequence[_Said], known: Mapping[str, End]) -> Appending:
    """By the names of the streams; those of one stream as they happened."""
    streams = {happening.stream for happening, _, _ in said}
    unknown = streams - known.keys()
    found = {**known, **ends_of(unknown)} if unknown else known
    return _entries(_in_order(said), {stream: found[stream] for stream in streams})


def _in_order(said: Sequence[_Said]) -> Sequence[_Said]:
    return sorted(said, key=_stream) if len(said) > 1 else said


def _stream(said: _Said) -> str:
    return said[0].stream


def _entries(said: Sequence[_Said], ends: dict[str, End]) -> Appending:
    rows = [_row(happening, at, text, ends) for happening, at, text in said]
    writes = [_insertion(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
    return Appending(writes, ends)


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
