"""Find deliveries that are due: retries, lost wake-ups, and deliveries that killed processes."""

from dataclasses import dataclass

from django.db import connection

from database.statement import Statement
from sync.deliveries.predicates import (
    SUBJECT_COLUMNS,
    can_run,
    has_no_open_breaker,
    is_behind_older,
    is_due,
    is_suspect,
    may_run_beside_others,
)

# A pending delivery behind an open breaker is found once: its claim fails, and `postpone_delivery` records the
# reason.
_IS_READY = f"""{is_due("d")} AND (d.state = 'pending' OR {has_no_open_breaker("d")})
    AND NOT {is_behind_older("d")} AND {may_run_beside_others("d")}"""
_SUBJECT = ", ".join(SUBJECT_COLUMNS)
_SUBJECT_OF_D, _SUBJECT_OF_F = (
    ", ".join(f"{alias}.{column}" for column in SUBJECT_COLUMNS) for alias in ("d", "f")
)
_DUE = Statement(
    f"""SELECT d.id, d.deaths, {_SUBJECT_OF_D} FROM sync_delivery d WHERE {_IS_READY}
    ORDER BY d.due_at, d.id LIMIT %s"""  # noqa: S608
)
_FIRST_OF_ROUTE = (
    f"""FROM sync_delivery d WHERE d.route_id = routes.id AND {_IS_READY} ORDER BY d.due_at, d.id LIMIT %s"""
)
# SQLite has no LATERAL, but a table-valued function reads columns of the tables before it. With CROSS JOIN it keeps
# this order, whatever statistics it has.
_FIRST_OF_EACH_ROUTE = {
    "sqlite": f"""CROSS JOIN
        json_each((SELECT json_group_array(first.id) FROM (SELECT d.id {_FIRST_OF_ROUTE}) first)) ids
        CROSS JOIN sync_delivery f ON f.id = ids.value""",  # noqa: S608
    "postgresql": f"""CROSS JOIN LATERAL (SELECT d.id, d.deaths, d.due_at, {_SUBJECT_OF_D} {_FIRST_OF_ROUTE}) f""",
}
# `place` numbers the deliveries of each route, and `turn` those of each source in the order of their places: the first
# of every source come before the second of any, and those of a source are of each of its routes in turn.
_DUE_BY_TURNS = {
    vendor: Statement(
        f"""SELECT id, deaths, {_SUBJECT} FROM (SELECT id, deaths, {_SUBJECT}, due_at,
            ROW_NUMBER() OVER (PARTITION BY source_id ORDER BY place, due_at, id) AS turn
            FROM (SELECT f.id, f.deaths, f.due_at, {_SUBJECT_OF_F}, routes.source_id,
                ROW_NUMBER() OVER (PARTITION BY routes.id ORDER BY f.due_at, f.id) AS place
                FROM sync_route routes {first}) placed) turns
        ORDER BY turn, due_at, id LIMIT %s"""  # noqa: S608
    )
    for vendor, first in _FIRST_OF_EACH_ROUTE.items()
}
# `can_run` is stricter than `_IS_READY`: no process is started for a delivery that cannot be claimed.
_SUSPECT = Statement(
    f"""SELECT d.id FROM sync_delivery d WHERE {can_run("d")} AND {is_suspect("d")}
    ORDER BY d.due_at, d.id LIMIT %s"""  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that may run now, its subject, and the processes that died while they ran it."""

    pk: int
    deaths: int
    subject: tuple[str, str, int, int]


def read_due_deliveries(limit: int) -> list[DueDelivery]:
    """Return deliveries that are due and whose breakers are closed, oldest first.

    If there are more than `limit`, sources take turns, and the routes of each source: the backlog of one does not hide
    the others.
    """
    rows = _DUE.fetch_all(limit)
    # Most polls find less than `limit` and need no turns.
    if len(rows) >= limit:
        rows = _DUE_BY_TURNS[connection.vendor].fetch_all(limit, limit)
    return [DueDelivery(pk, deaths, tuple(subject)) for pk, deaths, *subject in rows]


def find_isolated_ids(limit: int) -> list[int]:
    """Return deliveries that may run now and under which a process died: they run one by one in a separate process."""
    return [row[0] for row in _SUSPECT.fetch_all(limit)]


def find_due_ids(limit: int = 1000) -> list[int]:
    """Return the keys of due deliveries, oldest first, one for each subject; those of `find_isolated_ids` are left out,
    and their subjects wait.

    One is enough, because the process that runs it continues with the next. So a busy subject does not crowd out
    others.
    """
    first_of_subject: dict[object, int] = {}
    due = read_due_deliveries(limit)
    # The entity may kill a process whichever of its webhooks is delivered.
    suspects = {delivery.subject for delivery in due if delivery.deaths}
    for delivery in due:
        if delivery.subject not in suspects:
            first_of_subject.setdefault(delivery.subject, delivery.pk)
    return list(first_of_subject.values())
