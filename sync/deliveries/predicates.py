"""Conditions on deliveries that several statements share, as SQL: this module is the only one that writes them.

A function takes the `alias` of `sync_delivery` in the statement, empty if its columns have no prefix. `at` is the time
in the statement: `{now}`, `{clock}`, or `%s`. States and numbers are literals: a partial index serves only a statement
that contains its condition.
"""

from typing import Any

from django.db.models import OuterRef

from sync.models import OPEN_STATES, WAITING_STATES, Delivery
from sync.models.delivery import sql_list

# Deaths after which a delivery runs only in a separate process. A single death may be the fault of another delivery
# that ran in the same process.
ISOLATION_DEATHS = 2
# The death after which a delivery has failed, if it was alone in the process.
FINAL_DEATHS = 3

# What deliveries of one subject have in common, and their link: they are run in order.
SUBJECT_COLUMNS = ("entity_id", "entity_type", "identity_id", "target_id")
# In a subquery: rows of the subject of the outer query's row.
SUBJECT_OF_OUTER_ROW = {column: OuterRef(column) for column in SUBJECT_COLUMNS}
# Rows of the subject that is passed: see `Delivery.subject`.
MATCHES_SUBJECT = " AND ".join(f"{column} = %s" for column in SUBJECT_COLUMNS)
# The delivery with this key, if it still runs under this token. Why COALESCE: see `_state_sql`.
STILL_CLAIMED = "id = %s AND token = %s AND COALESCE(state, '') = 'running'"


def subject_filter(delivery: Delivery) -> dict[str, Any]:
    """Return the columns of `SUBJECT_COLUMNS` with their values, for a filter or a new row."""
    return dict(zip(SUBJECT_COLUMNS, delivery.subject, strict=True))


def is_waiting(alias: str = "", *, hides_state: bool = False) -> str:
    """Match deliveries that are pending or retrying."""
    return f"{_state_sql(alias, hides_state)} IN {sql_list(WAITING_STATES)}"


def is_due(alias: str = "", at: str = "{now}", *, hides_state: bool = False) -> str:
    """Match waiting deliveries for which the time of the next attempt has come."""
    return f"{is_waiting(alias, hides_state=hides_state)} AND {_column_sql(alias, 'due_at')} <= {at}"


def waits_for_resume(alias: str = "") -> str:
    """Match waiting deliveries without a time for the next attempt: a person must resume their source or route."""
    return f"{is_waiting(alias)} AND {_column_sql(alias, 'due_at')} IS NULL"


def is_open(alias: str = "") -> str:
    """Match deliveries that wait, run or are held: those in the index `delivery_open_subject`."""
    return f"{_column_sql(alias, 'state')} IN {sql_list(OPEN_STATES)}"


def waits_or_runs(alias: str = "") -> str:
    """Match open deliveries that are not held; a held one lets others pass."""
    # Lists 'held' and excludes it again: the partial index serves only a statement that contains its whole condition.
    return f"{is_open(alias)} AND {_column_sql(alias, 'state')} <> 'held'"


def has_expired_lease(alias: str = "", at: str = "{now}") -> str:
    """Match running deliveries whose process did not renew the lease in time."""
    return f"{_column_sql(alias, 'state')} = 'running' AND {_column_sql(alias, 'lease_until')} <= {at}"


def is_suspect(alias: str = "") -> str:
    """Match a delivery under which a process died since it last ended an attempt: workers run it in a separate
    process.
    """
    return f"{_column_sql(alias, 'deaths')} > 0"


def is_no_suspect(alias: str = "") -> str:
    """Match a delivery under which no process died."""
    return f"{_column_sql(alias, 'deaths')} = 0"


def may_run_beside_others(alias: str = "") -> str:
    """Match a delivery that any process may run. After the first death that is a waiting request, or a command."""
    return f"{_column_sql(alias, 'deaths')} < {ISOLATION_DEATHS}"


def has_no_open_breaker(alias: str) -> str:
    """Match if neither connection has an open breaker; only a fetched delivery asks the identity service."""
    return f"""NOT EXISTS (SELECT 1 FROM sync_breaker b WHERE b.open_until > {{now}}
    AND (b.connection_id = {alias}.target_id
        OR (b.connection_id = {alias}.identity_id AND NOT {alias}.is_relayed
            AND {alias}.payload_choice = '')))"""  # noqa: S608


def is_of_same_subject(alias: str, other: str) -> str:
    """Match two deliveries of one subject."""
    return " AND ".join(f"{alias}.{column} = {other}.{column}" for column in SUBJECT_COLUMNS)


def is_of_live_route(alias: str) -> str:
    """Match a delivery whose route is live. The others only plan, so none waits for them, nor they for one."""
    return f"EXISTS (SELECT 1 FROM sync_route r WHERE r.id = {alias}.route_id AND r.mode = 'live')"  # noqa: S608


def is_behind_older(alias: str) -> str:
    """Match a relayed delivery behind an older relayed one of its subject: it cannot be claimed yet."""
    return f"""({alias}.is_relayed AND EXISTS (SELECT 1 FROM sync_delivery o
    WHERE {is_of_same_subject("o", alias)} AND {waits_or_runs("o")}
    AND o.is_relayed AND o.id < {alias}.id AND {is_of_live_route("o")}) AND {is_of_live_route(alias)})"""  # noqa: S608


def can_run(alias: str, at: str = "{now}") -> str:
    """Match due deliveries without an open breaker and without an older relayed delivery of their subject."""
    return f"{is_due(alias, at)} AND {has_no_open_breaker(alias)} AND NOT {is_behind_older(alias)}"


def _column_sql(alias: str, name: str) -> str:
    return f"{alias}.{name}" if alias else name


def _state_sql(alias: str, hides_state: bool) -> str:
    """Return the column, hidden from the planner in a statement that finds its row by key or subject."""
    # A snapshot that is held for minutes (an export, a backup) keeps all rows that left a partial index since.
    # PostgreSQL takes such an index for small and would search it for a row whose key is given; COALESCE prevents that.
    column = _column_sql(alias, "state")
    return f"COALESCE({column}, '')" if hides_state else column
