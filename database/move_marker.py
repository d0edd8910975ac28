"""A hub that is being moved to another database: the old one refuses to store anything, whoever writes.

`manage.py move_to` creates the marker and triggers on every table in one commit. A process needs to notice nothing: its
write is refused by SQLite itself, so no webhook can be stored where nobody would look for it afterwards.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from database.connection import thread_connection
from database.move_refusal import RefusedWrites
from database.statement import Statement

MARKER = "hub_move"
"""The table of a database that is being moved, or was: one row."""
MOVED = "moved"
"""The stage of a move that has ended. Before that, it can be given up."""

_HAS_MARKER = Statement(f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{MARKER}'")  # noqa: S608
_READ_MARKER = Statement(f"SELECT move, stage, target, began_at FROM {MARKER}")  # noqa: S608


@dataclass(frozen=True, slots=True)
class Move:
    """A move that has begun: its id, its stage, where the target is (without the password) and since when."""

    key: str
    stage: str
    target: str
    began_at: datetime

    @property
    def has_ended(self) -> bool:
        """True if the hub uses the other database from now on."""
        return self.stage == MOVED


def read_move() -> Move | None:
    """Return the move of this database to another one, None if there is none. Only SQLite is moved."""
    if thread_connection().vendor != "sqlite" or _HAS_MARKER.fetch_one() is None:
        return None
    row = _READ_MARKER.fetch_one()
    if row is None:
        return None
    key, stage, target, began_at = row
    return Move(key, stage, target, datetime.fromisoformat(began_at).astimezone(UTC))


def is_refused_by_move() -> bool:
    """True if this process was refused a write and the move is still there. Reads nothing before the first refusal."""
    if RefusedWrites.were_seen:
        RefusedWrites.were_seen = read_move() is not None
    return RefusedWrites.were_seen
