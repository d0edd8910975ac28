"""The new database: what it holds of an unfinished move, and how its tables are prepared and completed.

Three tables keep the state of the move, so that it goes on after a kill where it was: `hub_move_target` (which move),
`hub_move_table` (how far each table is copied) and `hub_move_postponed` (what is created after the rows). No process of
the hub starts on a database that has the first.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import CommandError
from psycopg import sql

from database.settings import SILENT_SERVER_LIMITS
from integration_hub.database_markers import MOVE_TARGET, MOVE_VARIABLE
from integration_hub.move.values import Column
from integration_hub.schema_version import hash_migrations

LEFT_OUT = {
    "django_migrations": "migrate writes it in the target; both databases are of the same version",
}
"""The tables of the old database that are not copied, each with the reason."""

_COMMAND_SECONDS = 24 * 3600.0
_LOCK = 7_203_471_113  # any number that only moves use
_STATE = f"""
CREATE TABLE {MOVE_TARGET} (move varchar(32) NOT NULL, is_prepared boolean NOT NULL);
CREATE TABLE hub_move_table (name text PRIMARY KEY, last_rowid bigint, rows bigint NOT NULL,
    digest varchar(64) NOT NULL, is_copied boolean NOT NULL);
CREATE TABLE hub_move_postponed (position serial PRIMARY KEY, dropped text NOT NULL, created text NOT NULL);
"""
_STATE_TABLES = (MOVE_TARGET, "hub_move_table", "hub_move_postponed")
# What slows the copy down, or would refuse rows whose parents come later. In the order in which it is created again.
# Indexes with a condition stay: PostgreSQL would write it in another way.
_POSTPONED = """
SELECT format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid), 1
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname <> ALL (%(state)s) AND i.indpred IS NULL
AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
UNION ALL
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)), 2
FROM pg_constraint WHERE contype = 'f' AND connamespace = current_schema()::regnamespace
UNION ALL
SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass), pg_get_triggerdef(t.oid), 3
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
ORDER BY 3, 2
""".replace("%s", "%%s").replace("%I", "%%I")
_COLUMNS = """
SELECT table_name, column_name, data_type, character_maximum_length, is_nullable = 'YES'
FROM information_schema.columns WHERE table_schema = current_schema() AND is_generated = 'NEVER'
ORDER BY table_name, ordinal_position
"""
_SEQUENCES = """
SELECT c.relname, a.attname, s.oid::regclass::text FROM pg_class s
JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_class c ON c.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
WHERE s.relkind = 'S' AND c.relnamespace = current_schema()::regnamespace AND c.relname <> ALL (%s)
"""


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """How far a table is copied, and the digest of the copied rows. `last_rowid` is None before the first row."""

    name: str
    last_rowid: int | None
    rows: int
    digest: str
    is_copied: bool


class Target:
    """The PostgreSQL database that the hub moves to. `url` and `address`: DATABASE_URL, and what it says."""

    def __init__(self, link: psycopg.Connection[Any], url: str) -> None:
        self.link, self._url = link, url

    def check_encoding(self) -> None:
        """Raise CommandError if the database cannot store every character."""
        encoding = self._read_value("SHOW server_encoding")
        if encoding != "UTF8":
            raise CommandError(
                f"The target has the encoding {encoding}. Create a database with the encoding UTF8."
            )

    def lock(self) -> None:
        """Keep other processes from moving into this database. Raises CommandError if one does."""
        if not self._read_value(f"SELECT pg_try_advisory_lock({_LOCK})"):
            raise CommandError("Another move_to is running with this target.")

    def read_key(self) -> str | None:
        """Return which move is unfinished here; None if none is."""
        is_target = MOVE_TARGET in self._list_relations()
        return str(self._read_value(f"SELECT move FROM {MOVE_TARGET}")) if is_target else None  # noqa: S608

    def begin(self) -> None:
        """Mark an empty database as the target of a move that has not begun. Raises CommandError if it is not empty."""
        if held := self._list_relations():
            raise CommandError(
                f"The target is not empty: it holds {', '.join(sorted(held)[:3])}. Create an empty database for the "
                "hub."
            )
        with self.link.transaction():
            self.link.execute(_STATE)
            self.link.execute(f"INSERT INTO {MOVE_TARGET} VALUES ('', FALSE)")  # noqa: S608

    def adopt(self, key: str) -> None:
        """Let a move use what is prepared here. Raises CommandError if rows of another one were copied already."""
        if self.read_key() == key:
            return
        if any(table.rows for table in self.copied_tables().values()):
            raise CommandError(
                "The target holds rows of a move that was given up, or of another hub. Create an empty database."
            )
        self.link.execute(f"UPDATE {MOVE_TARGET} SET move = %s", [key])  # noqa: S608

    def prepare(self, tables: Sequence[str]) -> None:
        """Create the hub's tables and empty them; put aside what is created after the rows."""
        if self._read_value(f"SELECT is_prepared FROM {MOVE_TARGET}"):  # noqa: S608
            self._check_version()
            return
        self.manage("migrate", "--verbosity", "0")
        with self.link.transaction():
            for dropped, created, _ in self.link.execute(
                _POSTPONED, {"state": list(_STATE_TABLES)}
            ).fetchall():
                values = [dropped, created]
                self.link.execute("INSERT INTO hub_move_postponed (dropped, created) VALUES (%s, %s)", values)
            # Foreign keys first: they may need a unique index.
            for (dropped,) in self.link.execute(
                "SELECT dropped FROM hub_move_postponed ORDER BY position DESC"
            ).fetchall():
                self.link.execute(dropped)
            names = sql.SQL(", ").join(map(sql.Identifier, tables))
            self.link.execute(sql.SQL("TRUNCATE {}").format(names))
            for name in tables:
                self.link.execute("INSERT INTO hub_move_table VALUES (%s, NULL, 0, '0', FALSE)", [name])
            self.link.execute(f"UPDATE {MOVE_TARGET} SET is_prepared = TRUE")  # noqa: S608

    def _check_version(self) -> None:
        """Raise CommandError if the tables were created by another version of the hub."""
        recorded = {name for (name,) in self.link.execute("SELECT name FROM django_migrations").fetchall()}
        if not recorded.issuperset(hash_migrations().values()):
            raise CommandError("Another version of the hub prepared the target. Create an empty database.")

    def list_columns(self) -> dict[str, tuple[Column, ...]]:
        """Return the columns of each of the hub's tables."""
        columns: dict[str, tuple[Column, ...]] = {}
        for table, *column in self.link.execute(_COLUMNS).fetchall():
            if table not in _STATE_TABLES:
                columns[table] = (*columns.get(table, ()), Column(*column))
        return columns

    def copied_tables(self) -> dict[str, CopiedTable]:
        """Return how far each table is copied."""
        rows = self.link.execute("SELECT name, last_rowid, rows, digest, is_copied FROM hub_move_table")
        return {name: CopiedTable(name, *values) for name, *values in rows.fetchall()}

    def note_batch(self, table: str, last_rowid: int, rows: int, digest: str) -> None:
        """Record, in the transaction that copies a batch, that it is copied."""
        self.link.execute(
            "UPDATE hub_move_table SET last_rowid = %s, rows = rows + %s, digest = %s WHERE name = %s",
            [last_rowid, rows, digest, table],
        )

    def note_copied(self, table: str) -> None:
        """Record that a table is copied."""
        self.link.execute("UPDATE hub_move_table SET is_copied = TRUE WHERE name = %s", [table])

    def create_postponed(self) -> int:
        """Create indexes, foreign keys and, at last, triggers. Returns how many. Each is its own transaction."""
        waiting = self.link.execute(
            "SELECT position, created FROM hub_move_postponed ORDER BY position"
        ).fetchall()
        for position, created in waiting:
            with self.link.transaction():
                self.link.execute(created)
                self.link.execute("DELETE FROM hub_move_postponed WHERE position = %s", [position])
        return len(waiting)

    def set_sequences(self, last_given: dict[str, int]) -> None:
        """Let each sequence go on after the highest id of its table, or after the highest that was ever given."""
        for table, column, sequence in self.link.execute(_SEQUENCES, [list(_STATE_TABLES)]).fetchall():
            query = sql.SQL("SELECT max({}) FROM {}").format(sql.Identifier(column), sql.Identifier(table))
            highest = max(self._read_value(query) or 0, last_given.get(table, 0))
            if highest:
                self.link.execute("SELECT setval(%s, %s)", [sequence, highest])

    def count_rows(self, table: str) -> int:
        """Return the number of rows of a table."""
        return int(self._read_value(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))))

    def analyze(self) -> None:
        """Let PostgreSQL learn what its tables hold, which it would otherwise do minutes later."""
        self.link.execute("ANALYZE")

    def finish(self) -> None:
        """Delete the state of the move: from now on the hub starts on this database."""
        self.link.execute(f"DROP TABLE {', '.join(_STATE_TABLES)}")

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the hub with this database. Raises CommandError if it fails with another code than 1."""
        key = self._read_value(f"SELECT move FROM {MOVE_TARGET}")  # noqa: S608
        environment = os.environ | {"DATABASE_URL": self._url, MOVE_VARIABLE: f"{MOVE_TARGET} {key}"}
        ended = subprocess.run(  # noqa: S603
            [*settings.COMMAND_LINE, *arguments], env=environment, capture_output=True, text=True,
            timeout=_COMMAND_SECONDS, check=False,
        )  # fmt: skip
        if ended.returncode not in (0, 1) or (ended.returncode and "verify_audit" not in arguments):
            raise CommandError(f"{arguments[0]} failed in the target: {ended.stderr.strip()[-500:]}")
        return ended

    def _read_value(self, query: Any) -> Any:
        row = self.link.execute(query).fetchone()
        return row[0] if row else None

    def _list_relations(self) -> set[str]:
        query = (
            "SELECT relname FROM pg_class c WHERE relnamespace = current_schema()::regnamespace AND NOT EXISTS "
            "(SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"  # of an extension
        )
        return {name for (name,) in self.link.execute(query).fetchall()}


@contextmanager
def open_target(url: str, address: dict[str, Any]) -> Iterator[Target]:
    """Connect to the target. Raises CommandError, without a password, if that fails."""
    places = {"dbname": address["NAME"], "user": address["USER"], "password": address["PASSWORD"]}
    places |= {"host": address["HOST"], "port": address["PORT"]}
    options = {"connect_timeout": 5, **SILENT_SERVER_LIMITS, **address.get("OPTIONS", {})}
    given = options | {name: value for name, value in places.items() if value}
    try:
        link = psycopg.connect(**given, autocommit=True)
    except psycopg.OperationalError as error:
        raise CommandError(f"The target cannot be reached: {str(error).strip()}") from None
    with link:
        # A copy and an index may take longer than the role's statements usually may.
        link.execute("SET statement_timeout = 0")
        target = Target(link, url)
        target.check_encoding()
        target.lock()
        yield target


def describe_target(address: dict[str, Any]) -> str:
    """Return where the target is, without the password."""
    port = f":{address['PORT']}" if address["PORT"] else ""
    return f"postgres://{address['HOST']}{port}/{address['NAME']}"
