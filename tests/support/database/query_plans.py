"""Query plans: find the statements that read a whole table instead of using an index."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from database import statement

_FINDING = ("SELECT", "UPDATE", "DELETE", "WITH")
_EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}
_WHOLE = {
    "sqlite": re.compile(r"^SCAN (\w+)"),
    "postgresql": re.compile(r"(?:Seq|Index|Only|Backward) Scan\b(?: using (\w+))? on (\w+)"),
}
# Partial indexes of what is open or runs: whole, they are as large as that.
OPEN_ONLY = frozenset(
    {
        "delivery_due",
        "delivery_lease",
        "delivery_open_subject",
        "one_running_delivery_a_subject",
        "erasure_awaiting",
        "export_awaiting",
        "replay_awaiting",
    }
)
# A handful of rows, whatever is stored: read whole on purpose. `b` is what our SQL calls the breakers, `routes` the routes,
# `wanted` the streams whose ends are asked for.
SMALL = frozenset(
    {
        "b", "routes", "sync_breaker", "sync_connection", "sync_mapping", "sync_mappingversion", "sync_route", "webhooks_ratelimitstate", "webhooks_pepper",
        "webhooks_capturewindow",
        "webhooks_source", "webhooks_sourcesecret", "wanted", "CONSTANT",
    }
)  # fmt: skip

_INNER = re.compile(r"\) (?:AS )?(\w+)")  # what a SELECT within another one is called


@dataclass(frozen=True, slots=True)
class SeenStatement:
    """A statement that was sent to the database, either by the ORM or past it (`bypasses_orm`)."""

    sql: str
    values: tuple[Any, ...]
    bypasses_orm: bool

    def plan(self, connection: Any) -> list[str]:
        """Return the lines of its query plan with these values."""
        sql = _EXPLAIN[connection.vendor] + self.sql
        if self.bypasses_orm:
            rows = statement.execute_sql(
                connection, sql, self.values, lambda cursor: cursor.fetchall(), is_read=True
            )
        else:
            with connection.cursor() as cursor:
                cursor.execute(sql, self.values)
                rows = cursor.fetchall()
        return [str(row[-1]) for row in rows]


@contextmanager
def recorded_statements() -> Iterator[list[SeenStatement]]:
    """Yield a list to which every statement of every thread that looks for rows is added."""
    from django.db.backends.utils import CursorWrapper

    seen: list[SeenStatement] = []
    past, through = statement.execute_sql, CursorWrapper.execute

    def note(sql: str, values: Any, *, is_past: bool) -> None:
        if sql.startswith(_FINDING):
            seen.append(SeenStatement(sql, tuple(values or ()), is_past))

    def noted_past(connection: Any, sql: str, values: Any, *args: Any, **kwargs: Any) -> Any:
        note(sql, values, is_past=True)
        return past(connection, sql, values, *args, **kwargs)

    def noted_through(self: Any, sql: str, values: Any = None) -> Any:
        note(sql, values, is_past=False)
        return through(self, sql, values)

    statement.execute_sql = noted_past
    CursorWrapper.execute = noted_through  # type: ignore[method-assign,assignment]
    try:
        yield seen
    finally:
        statement.execute_sql = past
        CursorWrapper.execute = through  # type: ignore[method-assign]


def find_full_scans(connection: Any, seen: list[SeenStatement]) -> dict[str, list[str]]:
    """Return text → plan of each statement that reads a whole table or a whole index."""
    found = {}
    for distinct in {query.sql: query for query in seen}.values():
        plan = distinct.plan(connection)
        if set(_read_whole(connection.vendor, plan)) - SMALL - set(_INNER.findall(distinct.sql)):
            found[distinct.sql] = plan
    return found


def find_unindexed_statements(connection: Any, seen: list[SeenStatement]) -> dict[str, list[str]]:
    """Return text → plan of each statement that would read a whole table if all tables were large.

    PostgreSQL reads a small table whole because that is cheaper; here its statistics claim a million rows each.
    """
    from django.db import transaction

    with transaction.atomic():
        pretend_that_tables_are_large(connection)
        unindexed = find_full_scans(connection, seen)
        transaction.set_rollback(True)
    return unindexed


def pretend_that_tables_are_large(connection: Any) -> None:
    """Set PostgreSQL's statistics to a million rows a table, until the transaction is rolled back. Those of columns go:
    autovacuum makes them of what the tests before this one have stored.
    """
    if connection.vendor == "postgresql":
        connection.cursor().execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
            "DELETE FROM pg_statistic USING pg_class"
            " WHERE pg_class.oid = starelid AND relnamespace = current_schema()::regnamespace;"
            "UPDATE pg_class SET reltuples = 1000000, relpages = 1"
            " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        )


def _read_whole(vendor: str, plan: list[str]) -> Iterator[str]:
    """Yield the tables of plan steps without an index condition. A step of a PostgreSQL plan begins with an arrow."""
    for step in "\n".join(plan).split("->") if vendor == "postgresql" else plan:
        match = _WHOLE[vendor].search(step)
        if match and "Index Cond" not in step and not OPEN_ONLY & set(match.groups()):
            yield match[match.lastindex or 0]
