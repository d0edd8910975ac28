"""Let the old database refuse writes, step by step.

A move goes through three stages. `draining`: no webhook is stored and no delivery begins, but what runs is finished.
`frozen`: nothing is stored. `moved`: the other database is the hub's. All processes obey, because triggers refuse.
"""

import time
from datetime import UTC, datetime
from uuid import uuid4

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection, transaction

from audit.entries.append import NewEntry, append_entries
from database.move_marker import MARKER, MOVED, Move, read_move
from database.move_refusal import REFUSAL
from database.statement import Statement

DRAINING, FROZEN = "draining", "frozen"
_PREFIX = "hub_move_"
_WRITES = ("INSERT", "UPDATE", "DELETE")
_DRAINED = {
    "drain_receipt": "INSERT ON webhooks_receipt",
    "drain_event": "INSERT ON webhooks_event",
    "drain_delivery": "INSERT ON sync_delivery",
    "drain_claim": "UPDATE ON sync_delivery WHEN NEW.state = 'running' AND NEW.token IS NOT OLD.token",
}
_RUNNING = Statement("SELECT count(*) FROM sync_delivery WHERE state = 'running' AND lease_until > {now}")
_POLL_SECONDS = 0.2


def begin_move(target: str) -> Move:
    """Begin a move to a target, which is named without its password, or go on with the one that has begun.

    From the commit on, no process stores a webhook or claims a delivery.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        move = read_move()
        if move is not None:
            cursor.execute(f"UPDATE {MARKER} SET target = %s", [target])  # noqa: S608
            return move
        append_entries(NewEntry("system", "database.move-begun", details={"target": target}))
        columns = "move varchar(32) NOT NULL, stage varchar(16) NOT NULL, target text NOT NULL, began_at text NOT NULL"
        cursor.execute(f"CREATE TABLE {MARKER} ({columns})")
        cursor.execute(
            f"INSERT INTO {MARKER} VALUES (%s, %s, %s, %s)",  # noqa: S608
            [uuid4().hex, DRAINING, target, datetime.now(UTC).isoformat()],
        )
        for name, event in _DRAINED.items():
            cursor.execute(_trigger(name, event))
        begun = read_move()
    assert begun is not None, "it was just created"
    return begun


def drain(seconds: float | None = None) -> int:
    """Wait until no delivery runs, at most `seconds`, or the length of a lease. Returns how many still run.

    They are recorded in the new database as attempts of unknown outcome, and repeated there.
    """
    until = time.monotonic() + (settings.LEASE_SECONDS if seconds is None else seconds)
    while (running := _count_running()) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    return running


def _count_running() -> int:
    row = _RUNNING.fetch_one()
    return int(row[0]) if row else 0


def freeze() -> None:
    """Refuse every write from now on. Whatever was committed before is all that there will ever be."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {MARKER} SET stage = %s WHERE stage = %s", [FROZEN, DRAINING])  # noqa: S608
        if not cursor.rowcount:
            return
        tables = connection.introspection.table_names(cursor)
        # SQLite's own are those of its planner.
        for table in (name for name in tables if name != MARKER and not name.startswith("sqlite_")):
            for write in _WRITES:
                cursor.execute(_trigger(f"{table}_{write}", f'{write} ON "{table}"'))


def end_move(move: Move) -> None:
    """Record that the hub is in the target now. Raises CommandError if the move was given up meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {MARKER} SET stage = %s WHERE move = %s AND stage = %s",  # noqa: S608
            [MOVED, move.key, FROZEN],
        )
        if not cursor.rowcount:
            raise CommandError("This move was given up meanwhile: the hub stays in the old database.")


def give_up() -> None:
    """Let the old database take writes again. Raises CommandError if there is no move, or if it has ended."""
    with transaction.atomic(), connection.cursor() as cursor:
        move = read_move()
        if move is None:
            raise CommandError("No move of this database has begun.")
        if move.has_ended:
            raise CommandError(
                f"This move has ended: the hub is in {move.target}, and may have stored webhooks there."
            )
        cursor.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, %s) = %s",
            [len(_PREFIX), _PREFIX],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP TRIGGER "{name}"')
        cursor.execute(f"DROP TABLE {MARKER}")
        append_entries(NewEntry("system", "database.move-given-up", details={"target": move.target}))


def _trigger(name: str, event: str) -> str:
    return f"CREATE TRIGGER \"{_PREFIX}{name}\" BEFORE {event} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
