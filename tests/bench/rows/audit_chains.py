"""The audit entries of copied events: each copy's streams begin with it, every hash fits, and so can be sealed and
verified like those of the hub.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from audit.format.entry_body import entry_body
from audit.format.hashes import ZERO_HASH, leaf_hash

_ENTRY = ("id", "stream", "at", "action", "actor", "details", "stream_seq", "prev_leaf", "leaf")


@dataclass(frozen=True, slots=True)
class Copied:
    """The rows of a copy as its audit log entries name them: text of the original → text of the copy.

    `received_at`: when the copy arrived.
    """

    names: Mapping[str, str]
    received_at: Any


@dataclass(frozen=True, slots=True)
class _Form:
    """An entry of the original, cut at what each copy has of its own: `stream` and `details` are to be formatted."""

    stream: str
    details: str
    action: str
    actor: str
    seq: int
    later: timedelta  # than the event arrived


class Chains:
    """Writes the entries of copies.

    `entries`: those of the original, in the order of their ids; `own`: the texts in them that name its rows, each with
    a word for it; `last`: highest id before the copies.
    """

    def __init__(
        self, connection: Any, entries: Sequence[Any], own: Mapping[str, str], received_at: Any, last: int
    ) -> None:
        self._connection = connection
        self._last = last
        self._forms = [_form(entry, own, received_at) for entry in entries]

    def write(self, first: int, copies: Sequence[Copied]) -> None:
        """Write the audit log entries of consecutive copies, of which the first has this number."""
        self._store(list(self._rows(first, copies)))

    def _rows(self, first: int, copies: Sequence[Copied]) -> Iterator[tuple[Any, ...]]:
        key = self._last + (first - 1) * len(self._forms)
        for copy in copies:
            ends: dict[str, bytes] = {}
            for form in self._forms:
                key += 1
                stream, at = form.stream.format_map(copy.names), copy.received_at + form.later
                before = ends.get(stream, ZERO_HASH)
                details = form.details.format_map(copy.names)
                columns = (stream, at, form.action, form.actor, details, form.seq, before)
                leaf = ends[stream] = leaf_hash(entry_body(*columns))
                yield key, *columns, leaf

    def _store(self, rows: Sequence[tuple[Any, ...]]) -> None:
        names = ", ".join(_ENTRY)
        with self._connection.cursor() as cursor:
            if self._connection.vendor == "postgresql":
                with cursor.copy(f"COPY audit_entry ({names}) FROM STDIN") as copying:
                    for row in rows:
                        copying.write_row(row)
                return
            marks = ", ".join(["%s"] * len(_ENTRY))
            sql = f"INSERT INTO audit_entry ({names}) VALUES ({marks})"
            cursor.executemany(sql, [[_as_text(value) for value in row] for row in rows])


def _form(entry: Any, own: Mapping[str, str], received_at: datetime) -> _Form:
    stream, details = (_cut(value, own) for value in (entry.stream, entry.details))
    return _Form(stream, details, entry.action, entry.actor, entry.stream_seq, entry.at - received_at)


def _cut(text: str, words: Mapping[str, str]) -> str:
    form = text.replace("{", "{{").replace("}", "}}")
    for own, word in words.items():
        form = form.replace(own, f"{{{word}}}")
    return form


def _as_text(value: Any) -> Any:
    """Return a time as Django stores it in SQLite."""
    return value.replace(tzinfo=None).isoformat(" ") if isinstance(value, datetime) else value
