"""Records in memory, written through to an SQLite file if one is given."""

import copy
import json
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_TABLE = """CREATE TABLE IF NOT EXISTS records (
    place INTEGER PRIMARY KEY AUTOINCREMENT, collection TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (collection, id))"""
_UPSERT = """INSERT INTO records (collection, id, body) VALUES (?, ?, ?)
    ON CONFLICT (collection, id) DO UPDATE SET body = excluded.body"""


class RecordStore:
    """Collections of records by id, in the order of their creation. All methods are thread-safe.

    Hold ``lock`` (re-entrant) while you read and then write what depends on it. Records are copied when they are stored
    and when they are returned. ``indexed_fields`` names, for each collection, the fields that ``find_records`` searches
    by an index.
    """

    def __init__(
        self, path: Path | None = None, indexed_fields: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self.lock = threading.RLock()
        self._indexed_fields = dict(indexed_fields or {})
        self._records: dict[str, dict[str, Record]] = defaultdict(dict)
        self._index: dict[tuple[str, str, str], dict[str, None]] = defaultdict(dict)
        self._database = _open_database(path) if path else None
        if self._database:
            for collection, key, body in self._database.execute(
                "SELECT collection, id, body FROM records ORDER BY place"
            ):
                self._add_in_memory(collection, key, json.loads(body))

    def get_record(self, collection: str, key: str) -> Record | None:
        """Return a record, or None if there is none with this id."""
        with self.lock:
            return copy.deepcopy(self._records[collection].get(key))

    def list_records(self, collection: str, offset: int = 0, limit: int | None = None) -> list[Record]:
        """Return at most ``limit`` records of a collection from index ``offset``, oldest first."""
        with self.lock:
            end = None if limit is None else offset + limit
            return copy.deepcopy(list(islice(self._records[collection].values(), offset, end)))

    def read_page(
        self, collection: str, offset: int, limit: int, is_listed: Callable[[Record], bool] | None = None
    ) -> tuple[list[Record], int]:
        """Return one page of a collection, oldest first, and the number of all its records at that moment; only of
        those that ``is_listed`` accepts.
        """
        with self.lock:
            if is_listed is None:
                return self.list_records(collection, offset, limit), self.count_records(collection)
            listed = [record for record in self._records[collection].values() if is_listed(record)]
            return copy.deepcopy(listed[offset : offset + limit]), len(listed)

    def count_records(self, collection: str) -> int:
        """Return the number of records in a collection."""
        with self.lock:
            return len(self._records[collection])

    def find_oldest(self, collection: str) -> tuple[str, Record] | None:
        """Return the id and the record that was created first; None if the collection is empty."""
        with self.lock:
            return copy.deepcopy(next(iter(self._records[collection].items()), None))

    def find_records(self, collection: str, field: str, value: str) -> list[Record]:
        """Return the records whose field equals a value, both compared as text without case."""
        folded_value = fold_value(value)
        with self.lock:
            records = self._records[collection]
            if field in self._indexed_fields.get(collection, ()):
                matches = [records[key] for key in self._index.get((collection, field, folded_value), ())]
            else:
                matches = [
                    record for record in records.values() if fold_value(record.get(field)) == folded_value
                ]
            return copy.deepcopy(matches)

    def put_record(self, collection: str, key: str, record: Record) -> None:
        """Store a record under its id. A record that exists is replaced and keeps its place in the order."""
        record = copy.deepcopy(record)
        with self.lock:
            self._remove_from_index(collection, key)
            self._add_in_memory(collection, key, record)
            self._execute(_UPSERT, collection, key, json.dumps(record, ensure_ascii=False))

    def delete_record(self, collection: str, key: str) -> bool:
        """Delete a record. Returns True if it existed."""
        with self.lock:
            existed = key in self._records[collection]
            self._remove_from_index(collection, key)
            self._records[collection].pop(key, None)
            self._execute("DELETE FROM records WHERE collection = ? AND id = ?", collection, key)
            return existed

    def clear_collections(self, *collections: str) -> None:
        """Delete all records of these collections."""
        with self.lock:
            for collection in collections:
                for key in list(self._records[collection]):
                    self._remove_from_index(collection, key)
                self._records[collection].clear()
                self._execute("DELETE FROM records WHERE collection = ?", collection)

    def close(self) -> None:
        """Close the SQLite file. Later changes stay in memory."""
        with self.lock:
            if self._database:
                self._database.close()
                self._database = None

    def _add_in_memory(self, collection: str, key: str, record: Record) -> None:
        self._records[collection][key] = record
        for field in self._indexed_fields.get(collection, ()):
            self._index[collection, field, fold_value(record.get(field))][key] = None

    def _remove_from_index(self, collection: str, key: str) -> None:
        record = self._records[collection].get(key)
        if record is None:
            return
        for field in self._indexed_fields.get(collection, ()):
            index_key = (collection, field, fold_value(record.get(field)))
            self._index[index_key].pop(key, None)
            if not self._index[index_key]:
                del self._index[index_key]

    def _execute(self, statement: str, *arguments: str) -> None:
        if self._database:
            self._database.execute(statement, arguments)


def fold_value(value: object) -> str:
    """Return a value as text without case, for comparison: booleans as in JSON, null as an empty text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).casefold()


def _open_database(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # the settings of the sender hold a secret
    # Any thread may use it: `lock` keeps them apart. Without an isolation level, each statement commits at once.
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(_TABLE)
    return database
