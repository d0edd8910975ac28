"""Records in memory, written through to an SQLite file where one is given."""

import copy
import json
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_TABLE = """CREATE TABLE IF NOT EXISTS records (
    place INTEGER PRIMARY KEY AUTOINCREMENT, collection TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (collection, id))"""
_UPSERT = """INSERT INTO records (collection, id, body) VALUES (?, ?, ?)
    ON CONFLICT (collection, id) DO UPDATE SET body = excluded.body"""


class Store:
    """Collections of records by id, in order of arrival. Every method is safe from any thread.

    Hold ``lock`` (re-entrant) around a decision that reads and then writes. What goes in and what comes out
    is copied. ``indexed`` names, for a collection, the fields that ``find`` answers without looking at
    every record.
    """

    def __init__(
        self, path: Path | None = None, indexed: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self.lock = threading.RLock()
        self._indexed = dict(indexed or {})
        self._records: dict[str, dict[str, Record]] = defaultdict(dict)
        self._index: dict[tuple[str, str, str], dict[str, None]] = defaultdict(dict)
        self._database = _open(path) if path else None
        if self._database:
            for collection, key, body in self._database.execute(
                "SELECT collection, id, body FROM records ORDER BY place"
            ):
                self._keep(collection, key, json.loads(body))

    def get(self, collection: str, key: str) -> Record | None:
        with self.lock:
            return copy.deepcopy(self._records[collection].get(key))

    def all(self, collection: str, offset: int = 0, limit: int | None = None) -> list[Record]:
        with self.lock:
            end = None if limit is None else offset + limit
            return copy.deepcopy(list(islice(self._records[collection].values(), offset, end)))

    def count(self, collection: str) -> int:
        with self.lock:
            return len(self._records[collection])

    def oldest(self, collection: str) -> tuple[str, Record] | None:
        """Id and record of what arrived first."""
        with self.lock:
            return copy.deepcopy(next(iter(self._records[collection].items()), None))

    def find(self, collection: str, field: str, value: str) -> list[Record]:
        """The records whose field equals the value, both as text and without case."""
        wanted = folded(value)
        with self.lock:
            records = self._records[collection]
            if field in self._indexed.get(collection, ()):
                found = [records[key] for key in self._index.get((collection, field, wanted), ())]
            else:
                found = [record for record in records.values() if folded(record.get(field)) == wanted]
            return copy.deepcopy(found)

    def put(self, collection: str, key: str, record: Record) -> None:
        record = copy.deepcopy(record)
        with self.lock:
            self._forget(collection, key)
            self._keep(collection, key, record)
            self._execute(_UPSERT, collection, key, json.dumps(record, ensure_ascii=False))

    def delete(self, collection: str, key: str) -> bool:
        """Whether there was such a record."""
        with self.lock:
            existed = key in self._records[collection]
            self._forget(collection, key)
            self._records[collection].pop(key, None)
            self._execute("DELETE FROM records WHERE collection = ? AND id = ?", collection, key)
            return existed

    def clear(self, *collections: str) -> None:
        with self.lock:
            for collection in collections:
                for key in list(self._records[collection]):
                    self._forget(collection, key)
                self._records[collection].clear()
                self._execute("DELETE FROM records WHERE collection = ?", collection)

    def close(self) -> None:
        with self.lock:
            if self._database:
                self._database.close()
                self._database = None

    def _keep(self, collection: str, key: str, record: Record) -> None:
        self._records[collection][key] = record
        for field in self._indexed.get(collection, ()):
            self._index[collection, field, folded(record.get(field))][key] = None

    def _forget(self, collection: str, key: str) -> None:
        record = self._records[collection].get(key)
        if record is None:
            return
        for field in self._indexed.get(collection, ()):
            place = (collection, field, folded(record.get(field)))
            self._index[place].pop(key, None)
            if not self._index[place]:
                del self._index[place]

    def _execute(self, statement: str, *arguments: str) -> None:
        if self._database:
            self._database.execute(statement, arguments)


def folded(value: object) -> str:
    """How two values are compared: as text, without case; true and false as JSON writes them, null as
    nothing.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).casefold()


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(_TABLE)
    return database
