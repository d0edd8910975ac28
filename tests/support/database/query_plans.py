"""How the database finds the rows of each statement: by an index, or by reading a whole table."""

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
    {"delivery_due", "delivery_lease", "delivery_open_subject", "one_running_delivery_a_subject"}
)
# A handful of rows, whatever is stored: read whole on purpose. `b` is what our SQL calls the breakers, `routes` the routes,
# `wanted` the streams whose ends are asked for.
SMALL = frozenset(
    {
        "b", "routes", "sync_breaker", "sync_connection", "sync_mapping", "sync_mappingversion", "sync_route", "webhooks_pace", "webhooks_pepper",
        "webhooks_source", "webhooks_sourcesecret", "wanted", "CONSTANT",
    }
)  # fmt: skip

_INNER = re.compile(r"\) (\w+)")  # what a SELECT within another one is called


@dataclass(frozen=True, slots=True)
class Seen:
    """A statement as it went to the database, past the ORM or through it."""

    sql: str
    values: tuple[Any, ...]
    is_past: bool

    def plan(self, connection: Any) -> list[str]:
        """The lines of its plan, with these values."""
        sql = _EXPLAIN[connection.vendor] + self.sql
        if self.is_past:
            rows = statement.execute_sql(
                connection, sql, self.values, lambda cursor: cursor.fetchall(), is_read=True
            )
        else:
            with connection.cursor() as cursor:
                cursor.execute(sql, self.values)
                rows = cursor.fetchall()
        return [str(row[-1]) for row in rows]


@contextmanager
def seeing() -> Iterator[list[Seen]]:
    """Every statement of every thread that finds rows, in order."""
    from django.db.backends.utils import CursorWrapper

    seen: list[Seen] = []
    past, through = statement.execute_sql, CursorWrapper.execute

    def note(sql: str, values: Any, *, is_past: bool) -> None:
        if sql.startswith(_FINDING):
            seen.append(Seen(sql, tuple(values or ()), is_past))

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


def scans(connection: Any, seen: list[Seen]) -> dict[str, list[str]]:
    """The plan of each statement that reads a whole table, or a whole index of it, by its text."""
    found = {}
    for each in {one.sql: one for one in seen}.values():
        plan = each.plan(connection)
        if set(_read_whole(connection.vendor, plan)) - SMALL - set(_INNER.findall(each.sql)):
            found[each.sql] = plan
    return found


def unserved(connection: Any, seen: list[Seen]) -> dict[str, list[str]]:
    """The same in a database that holds next to nothing. PostgreSQL reads a small table whole because that is cheaper:
    here it is told that each has a million rows.
    """
    from django.db import transaction

    with transaction.atomic():
        pretend_that_tables_are_large(connection)
        found = scans(connection, seen)
        transaction.set_rollback(True)
    return found


def pretend_that_tables_are_large(connection: Any) -> None:
    """Until the transaction is rolled back."""
    if connection.vendor == "postgresql":
        connection.cursor().execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
            "UPDATE pg_class SET reltuples = 1000000, relpages = 1"
            " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        )


def _read_whole(vendor: str, plan: list[str]) -> Iterator[str]:
    """The tables of the steps that no condition of an index bounds. A step of PostgreSQL's begins with an arrow."""
    for step in "\n".join(plan).split("->") if vendor == "postgresql" else plan:
        match = _WHOLE[vendor].search(step)
        if match and "Index Cond" not in step and not OPEN_ONLY & set(match.groups()):
            yield match[match.lastindex or 0]
