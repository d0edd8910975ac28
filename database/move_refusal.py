"""The error of a write that is refused because the hub is being moved to another database."""

from django.db import OperationalError

REFUSAL = "the hub is being moved to another database"
"""What the triggers of a move raise."""


class HubIsMoving(OperationalError):
    """A write was refused because the hub is being moved to another database, or was."""


class RefusedWrites:
    """Whether a write of this process was refused since it last saw that no move is under way."""

    were_seen = False


def refuse_write(error: Exception) -> HubIsMoving | None:
    """Return the error to raise if SQLite refused a write because of a move, otherwise None."""
    if str(error) != REFUSAL:
        return None
    RefusedWrites.were_seen = True
    return HubIsMoving(REFUSAL)
