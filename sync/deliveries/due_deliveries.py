"""Find deliveries that are due: retries, lost wake-ups, and deliveries that killed processes."""

from dataclasses import dataclass

from database.statement import Statement
from sync.deliveries.predicates import (
    SUBJECT_COLUMNS,
    can_run,
    has_no_open_breaker,
    is_behind_older,
    is_due,
    needs_isolation,
    needs_no_isolation,
)

# A pending delivery behind an open breaker is found once: its claim fails, and `postpone_delivery` records the
# reason.
_IS_READY = f"""{is_due("d")} AND (d.state = 'pending' OR {has_no_open_breaker("d")})
    AND NOT {is_behind_older("d")} AND {needs_no_isolation("d")}"""
_SUBJECT = ", ".join(SUBJECT_COLUMNS)
_SUBJECT_OF_D = ", ".join(f"d.{column}" for column in SUBJECT_COLUMNS)
_DUE = Statement(
    f"""SELECT d.id, {_SUBJECT_OF_D} FROM sync_delivery d WHERE {_IS_READY}
    ORDER BY d.due_at, d.id LIMIT %s"""  # noqa: S608
)
# `place` numbers the deliveries of each target: the first of every target come before the second of any.
_DUE_BY_TURNS = Statement(
    f"""SELECT id, {_SUBJECT} FROM (SELECT d.id, {_SUBJECT_OF_D}, d.due_at,
        ROW_NUMBER() OVER (PARTITION BY d.target_id ORDER BY d.due_at, d.id) AS place
        FROM sync_delivery d WHERE {_IS_READY}) found
    ORDER BY place, due_at, id LIMIT %s"""  # noqa: S608
)
# `can_run` is stricter than `_IS_READY`: no process is started for a delivery that cannot be claimed.
_ISOLATED = Statement(
    f"""SELECT d.id FROM sync_delivery d WHERE {can_run("d")} AND {needs_isolation("d")}
    ORDER BY d.due_at, d.id LIMIT %s"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that may run now, and its subject."""

    pk: int
    subject: tuple[str, str, int, int]


def read_due_deliveries(limit: int) -> list[DueDelivery]:
    """Return deliveries that are due and whose breakers are closed, oldest first.

    If there are more than `limit`, target connections take turns, so that the backlog of one does not hide the others.
    """
    rows = _DUE.fetch_all(limit)
    # The window function sorts all that is due; most polls find less than `limit` and do without it.
    if len(rows) >= limit:
        rows = _DUE_BY_TURNS.fetch_all(limit)
    return [DueDelivery(pk, tuple(subject)) for pk, *subject in rows]


def find_isolated_ids(limit: int) -> list[int]:
    """Return deliveries that may run now and under which processes died twice: each runs in a separate process."""
    return [row[0] for row in _ISOLATED.fetch_all(limit)]


def find_due_ids(limit: int = 1000) -> list[int]:
    """Return the keys of due deliveries, oldest first, one for each subject.

    One is enough, because the process that runs it continues with the next. So a busy subject does not crowd out
    others.
    """
    first_of_subject: dict[object, int] = {}
    for delivery in read_due_deliveries(limit):
        first_of_subject.setdefault(delivery.subject, delivery.pk)
    return list(first_of_subject.values())
