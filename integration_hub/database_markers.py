"""Tables that mark a database with which no process of the hub may start."""

import os

from django.core.management.base import CommandError

from database.move_marker import MARKER, read_move

# The table of a database whose restore has not ended: see `integration_hub.backups`.
RESTORE_MARKER = "hub_restore_unfinished"
# The table of a database into which a hub is being moved, and the variable with which the move itself uses it before it
# is complete: see `integration_hub.move`.
MOVE_TARGET = "hub_move_target"
MOVE_VARIABLE = "HUB_MOVE"
MARKERS = (RESTORE_MARKER, MOVE_TARGET, MARKER)
# In place of the app of a migration.
MARKED = ""
MARKER_QUERY = {
    "sqlite": "SELECT %s, name FROM sqlite_master WHERE type = 'table' AND name IN (%s, %s, %s)",
    "postgresql": "SELECT %s, tablename::text FROM pg_catalog.pg_tables WHERE schemaname = current_schema() "
    "AND tablename IN (%s, %s, %s)",
}


def check_markers(markers: set[str]) -> None:
    """Raise `CommandError` if no process may start on a database that has these of `MARKERS`."""
    if RESTORE_MARKER in markers:
        raise CommandError("A restore of this database did not finish. Run manage.py restore again.")
    if MOVE_TARGET in markers and not os.environ.get(MOVE_VARIABLE):
        raise CommandError(
            "A move into this database did not finish. Run manage.py move_to again, with the DATABASE_URL of the old "
            "one."
        )
    move = read_move() if MARKER in markers else None
    # While the move runs, a web process answers sources, which send their webhooks again later.
    if move is not None and move.has_ended:
        raise CommandError(f"This hub has moved to {move.target}: set DATABASE_URL to that database.")
