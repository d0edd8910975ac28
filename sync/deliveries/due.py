"""Which deliveries are due: retries, lost wake-ups, and deliveries under which processes die."""

from dataclasses import dataclass

from database.statement import Statement
from sync.deliveries.predicates import (
    SUBJECT,
    can_run,
    has_no_open_breaker,
    is_behind_older,
    is_due,
    is_not_suspect,
    is_suspect,
)

# A fresh one behind an open breaker is taken once: whoever claims it notes that it waits for its connection.
_READY = f"""{is_due("d")} AND (d.state = 'pending' OR {has_no_open_breaker("d")})
    AND NOT {is_behind_older("d")} AND {is_not_suspect("d")}"""
_SUBJECT = ", ".join(SUBJECT)
_SUBJECT_OF_D = ", ".join(f"d.{column}" for column in SUBJECT)
_DUE = Statement(
    f"""SELECT d.id, {_SUBJECT_OF_D} FROM sync_delivery d WHERE {_READY}
    ORDER BY d.due_at, d.id LIMIT %s"""  # noqa: S608
)
_DUE_IN_TURN = Statement(
    f"""SELECT id, {_SUBJECT} FROM (SELECT d.id, {_SUBJECT_OF_D}, d.due_at,
        ROW_NUMBER() OVER (PARTITION BY d.commercial_id ORDER BY d.due_at, d.id) AS place
        FROM sync_delivery d WHERE {_READY}) found
    ORDER BY place, due_at, id LIMIT %s"""  # noqa: S608
)
_SUSPECTS = Statement(
    f"""SELECT d.id FROM sync_delivery d WHERE {can_run("d")} AND {is_suspect("d")}
    ORDER BY d.due_at, d.id LIMIT %s"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that may run now, and the subject that it shares with others."""

    pk: int
    subject: tuple[str, str, int, int]


def due(limit: int) -> list[Due]:
    """Deliveries that wait, whose time has come, and whose connections are not paused; oldest first.

    Where there are more than that, the commercial systems take turns, so that the backlog of one hides no other.
    """
    rows = _DUE.fetch_all(limit)
    if len(rows) >= limit:
        rows = _DUE_IN_TURN.fetch_all(limit)
    return [Due(pk, tuple(subject)) for pk, *subject in rows]


def suspects(limit: int) -> list[int]:
    """Deliveries that may run now and under which processes died twice: each runs alone in a process of its own."""
    return [row[0] for row in _SUSPECTS.fetch_all(limit)]


def find_due(limit: int = 1000) -> list[int]:
    """Return deliveries that are due, oldest first, one a subject.

    One a subject is enough, since whoever runs it goes on with the next; and a busy subject does not crowd out others.
    """
    first_of_subject: dict[object, int] = {}
    for each in due(limit):
        first_of_subject.setdefault(each.subject, each.pk)
    return list(first_of_subject.values())
