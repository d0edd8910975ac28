"""The figures of `/metrics` that the database knows: one statement, each part bounded by an index or a small table."""

import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from audit.models.entry import BACKUP_ACTION, ROUTINE_ACTIONS
from database.cached_read import cached_read
from database.connection import thread_connection
from database.statement import Statement
from database.values import parse_optional_timestamp, parse_timestamp
from sync.deliveries.predicates import (
    SUBJECT_COLUMNS,
    has_expired_lease,
    is_behind_older,
    is_due,
)
from sync.metrics import declared
from sync.metrics.declared import DATABASE_METRICS, MetricDeclaration
from sync.metrics.exposition import Sample, Samples
from sync.metrics.label_names import MAX_NAMES
from sync.models import OUT_OF_STEP_CONDITION, AlarmKind
from sync.monitoring.health_figures import COUNT_LIMIT, PAUSED_CONNECTIONS
from webhooks.models import State

# A second scrape within this time reads nothing.
CACHE_SECONDS = 10.0
_LONG_AGO = datetime.fromtimestamp(0, UTC)
# A recount takes seconds.
_LONGEST_COUNT = timedelta(minutes=2)
CONNECTION_STATES = ("enabled", "failing", "paused", "disabled")

_SIZES = {
    "postgresql": "pg_database_size(current_database())",
    "sqlite": "(SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM pragma_page_size())",
}
# One lookup in the index for each hour, which PostgreSQL would not choose itself.
_RECOUNTED = {
    "postgresql": """(SELECT begins_at AS hour FROM sync_countedhour WHERE counted_at > %s) counted, LATERAL
      (SELECT state, SUM(number) AS number FROM sync_eventcount c WHERE c.hour = counted.hour GROUP BY state) summed""",
    "sqlite": """(SELECT hour, state, SUM(number) AS number FROM sync_eventcount
      WHERE hour IN (SELECT begins_at FROM sync_countedhour WHERE counted_at > %s) GROUP BY hour, state) summed""",
}
_IS_FAILING = f"id IN (SELECT b.connection_id {PAUSED_CONNECTIONS})"
# The number of due deliveries to read of one live route: an equal share for each that has any. Read by route, those of
# routes that observe take no share, and PostgreSQL reads in the order of an index; from the table it sorts the backlog.
_ROUTE_SHARE = f"""(SELECT 1 + COALESCE({COUNT_LIMIT} / NULLIF(COUNT(*), 0), 0) FROM sync_route s WHERE s.mode = 'live'
  AND EXISTS (SELECT 1 FROM sync_delivery w WHERE {is_due("w")} AND w.route_id = s.id))"""  # noqa: S608
# Repeats the condition of the partial index `audit_entry_seldom` word for word.
_ROUTINE = ", ".join(f"'{action}'" for action in ROUTINE_ACTIONS)
_IS_BACKUP = f"action = '{BACKUP_ACTION}' AND NOT (action IN ({_ROUTINE}))"
_WAITING_JOB = "state IN ('waiting', 'running')"
# The pairs of enabled routes that fetch, with their oldest route and their shortest interval.
_PAIRS = f"""(SELECT r.slug, p.* FROM (SELECT MIN(id) AS route_id, MIN(compare_every_hours) AS hours,
  MAX(updated_at) AS updated_at, identity_id, entity_type, target_id, mapping_id FROM sync_route
  WHERE is_enabled AND NOT relays GROUP BY identity_id, entity_type, target_id, mapping_id) p
  JOIN sync_route r ON r.id = p.route_id ORDER BY p.route_id LIMIT {MAX_NAMES}) pair"""  # noqa: S608


def _newest_comparison(states: str = "") -> str:
    """Select the key of the newest comparison of the pair; `states`: a condition."""
    return f"""(SELECT c.id FROM sync_comparison c WHERE c.identity_id = pair.identity_id
  AND c.entity_type = pair.entity_type AND c.target_id = pair.target_id AND c.mapping_id = pair.mapping_id{states}
  ORDER BY c.id DESC LIMIT 1)"""  # noqa: S608


# Name, label, number, time: each part returns rows of these columns. Parameters: `DeliveryCounts.read_since`, twice.
_PARTS = f"""
SELECT 'now' AS name, '' AS label, CAST(0 AS double precision) AS number, {{now}} AS moment
UNION ALL SELECT 'size', '', %SIZE%, NULL
UNION ALL SELECT 'recounted', '', NULL, begins_at FROM sync_countedhour WHERE counted_at > %s
UNION ALL SELECT 'first-hour', '', NULL, MIN(begins_at) FROM sync_countedhour
UNION ALL SELECT 'deliveries', state, number, hour FROM %RECOUNTED%
UNION ALL SELECT 'due', '', COUNT(*), NULL FROM
  (SELECT id FROM sync_delivery WHERE {is_due()} LIMIT {COUNT_LIMIT + 1}) due
UNION ALL SELECT 'expired', '', COUNT(*), NULL FROM
  (SELECT id FROM sync_delivery WHERE {has_expired_lease()} LIMIT {COUNT_LIMIT + 1}) expired
UNION ALL SELECT 'oldest-due', '', NULL, MIN((SELECT d.due_at FROM
  (SELECT id, due_at, is_relayed, route_id, {", ".join(SUBJECT_COLUMNS)} FROM sync_delivery
   WHERE {is_due()} AND route_id = routes.id ORDER BY due_at, id LIMIT {_ROUTE_SHARE}) d
  WHERE d.identity_id NOT IN (SELECT b.connection_id {PAUSED_CONNECTIONS})
  AND d.target_id NOT IN (SELECT b.connection_id {PAUSED_CONNECTIONS})
  AND NOT {is_behind_older("d")} ORDER BY d.due_at, d.id LIMIT 1)) FROM sync_route routes WHERE routes.mode = 'live'
UNION ALL SELECT 'connections', CASE WHEN NOT is_enabled THEN 'disabled' WHEN paused_at IS NOT NULL THEN 'paused'
  WHEN {_IS_FAILING} THEN 'failing' ELSE 'enabled' END AS state, COUNT(*), NULL FROM sync_connection GROUP BY 2
UNION ALL SELECT 'failing', slug, NULL, since FROM (SELECT c.slug, COALESCE(b.opened_at, b.open_until) AS since
  {PAUSED_CONNECTIONS} ORDER BY since, c.id LIMIT {MAX_NAMES}) failing
UNION ALL SELECT 'alarms', kind, COUNT(*), NULL FROM sync_alarm WHERE ended_at IS NULL GROUP BY kind
UNION ALL SELECT 'notifications', channel, COUNT(*), NULL FROM sync_notification WHERE state = 'waiting'
  GROUP BY channel
UNION ALL SELECT 'worker', '', NULL, MAX(ended_at) FROM sync_periodictask
UNION ALL SELECT 'jobs', kind, COUNT(*), NULL FROM sync_job WHERE {_WAITING_JOB} GROUP BY kind
UNION ALL SELECT 'oldest-job', '', NULL, MIN(due_at) FROM sync_job WHERE {_WAITING_JOB} AND state = 'waiting'
UNION ALL SELECT 'unsealed', '', NULL, (SELECT at FROM audit_entry WHERE id >
  COALESCE((SELECT highest_id FROM audit_segment ORDER BY number DESC LIMIT 1), 0) ORDER BY id LIMIT 1)
UNION ALL SELECT 'checkpoint', name, NULL, sent_at FROM audit_checkpointchannel
UNION ALL SELECT 'checkpoint-failing', name, NULL, failing_since FROM audit_checkpointchannel
UNION ALL SELECT 'verified', '', faults, at FROM (SELECT * FROM audit_verification ORDER BY id DESC LIMIT 1) verified
UNION ALL SELECT 'backup', '', NULL, at FROM (SELECT at FROM audit_entry WHERE {_IS_BACKUP}
  ORDER BY at DESC, id DESC LIMIT 1) backup
UNION ALL SELECT 'oldest-difference', pair.slug, NULL, (SELECT MIN(since) FROM sync_difference d
  WHERE d.comparison_id = {_newest_comparison(" AND c.state = 'done'")} AND {OUT_OF_STEP_CONDITION}) FROM {_PAIRS}
UNION ALL SELECT 'scheduled', pair.slug, pair.hours, COALESCE((SELECT requested_at FROM sync_comparison
  WHERE id = {_newest_comparison()}), pair.updated_at) FROM {_PAIRS}
UNION ALL SELECT 'comparison-failed', pair.slug, (SELECT CASE WHEN state = 'failed' THEN 1 ELSE 0 END
  FROM sync_comparison WHERE id = {_newest_comparison(" AND c.state IN ('done', 'failed')")}), NULL FROM {_PAIRS}
UNION ALL SELECT 'catch-up', catch_up, hours, since FROM (SELECT c.slug || ':' || u.entity_type AS catch_up,
  c.catch_up_minutes / 60.0 AS hours, COALESCE(u.read_at, u.created_at) AS since FROM sync_catchup u
  JOIN sync_connection c ON c.id = u.identity_id WHERE c.catch_up_minutes IS NOT NULL ORDER BY u.id LIMIT {MAX_NAMES})
  caught_up
"""  # noqa: S608
_FIGURES = {
    vendor: Statement(_PARTS.replace("%SIZE%", size).replace("%RECOUNTED%", _RECOUNTED[vendor]))
    for vendor, size in _SIZES.items()
}

Row = tuple[str, str, float | None, Any]
_Parts = Mapping[str, list[tuple[str, float | None, Any]]]
_Maker = Callable[[_Parts], Iterator[Sample]]


class DeliveryCounts:
    """The counted hours that this process has read: a scrape reads those that were counted again since.

    400 days are 10,000 hours, which to add up takes a tenth of a second: only the first scrape of a process does.
    """

    def __init__(self) -> None:
        self._numbers: dict[datetime, list[tuple[str, int]]] = {}
        self._sums = Counter[str]()
        self.read_since = _LONG_AGO

    def update(self, parts: _Parts, now: datetime) -> None:
        """Take over the hours that the statement has read, and forget those that retention has deleted."""
        for _, _, hour in parts.get("recounted", ()):
            self._forget_hour(parse_timestamp(hour))
        for state, number, moment in parts.get("deliveries", ()):
            self._numbers.setdefault(parse_timestamp(moment), []).append(
                (sys.intern(state), int(number or 0))
            )
            self._sums[state] += int(number or 0)
        first = parse_optional_timestamp(parts["first-hour"][0][2])
        for hour in [hour for hour in self._numbers if first is None or hour < first]:
            self._forget_hour(hour)
        # A count that is committed later says when it began.
        self.read_since = now - _LONGEST_COUNT

    def sum_by_state(self) -> dict[str, int]:
        """Return the number of deliveries in each state."""
        return {state: self._sums[state] for state in State.values}

    def _forget_hour(self, hour: datetime) -> None:
        for state, number in self._numbers.pop(hour, ()):
            self._sums[state] -= number


class FigureReader:
    """Reads the samples of the metrics that the database knows: one statement, at most every ten seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.read = cached_read(CACHE_SECONDS)(self._read)
        self._counts = DeliveryCounts()

    def forget(self) -> None:
        """Read everything again, from another database."""
        self.read.invalidate()
        self._counts = DeliveryCounts()

    def _read(self) -> Samples:
        with self._lock:
            since = self._counts.read_since
            rows = _FIGURES[thread_connection().vendor].fetch_all(since, since)
            parts: defaultdict[str, list[tuple[str, float | None, Any]]] = defaultdict(list)
            for name, label, number, moment in rows:
                parts[name].append((label, number, moment))
            self._counts.update(parts, parse_timestamp(parts["now"][0][2]))
            sums = self._counts.sum_by_state()
        parts["deliveries"] = [(state, number, None) for state, number in sums.items()]
        return {metric: list(_MAKERS[metric](parts)) for metric in DATABASE_METRICS}


figure_reader = FigureReader()


def _numbers(name: str, labels: Iterable[str] = ()) -> _Maker:
    """Make a sample of each row; 0 for a label of which there is no row."""

    def make(parts: _Parts) -> Iterator[Sample]:
        numbers = dict.fromkeys(labels, 0.0) | {
            label: float(number or 0) for label, number, _ in parts.get(name, ())
        }
        yield from (((label,), number) for label, number in numbers.items())

    return make


def _number(name: str) -> _Maker:
    """Make one sample of the number of a part; 0 without a row."""

    def make(parts: _Parts) -> Iterator[Sample]:
        yield (), sum(float(number or 0) for _, number, _ in parts.get(name, ()))

    return make


def _age(name: str, without: float | None) -> _Maker:
    """Make one sample of the age of a time, `without` one if there is none; no sample if that is None."""

    def make(parts: _Parts) -> Iterator[Sample]:
        rows = parts.get(name) or [("", None, None)]
        if rows[0][2] is not None or without is not None:
            yield (), _age_of(rows[0][2], parts, without or 0.0)

    return make


def _ages(name: str, without: float) -> _Maker:
    """Make a sample of the age of each row's time."""

    def make(parts: _Parts) -> Iterator[Sample]:
        yield from (((label,), _age_of(moment, parts, without)) for label, _, moment in parts.get(name, ()))

    return make


def _overdue(name: str) -> _Maker:
    """Make a sample of each row: the time since its moment that exceeds its hours; 0 without hours.

    A comparison that was never made counts from the last change of a route, a catch-up from when it was switched on.
    """

    def make(parts: _Parts) -> Iterator[Sample]:
        for label, hours, moment in parts.get(name, ()):
            age = _age_of(moment, parts, 0.0) - 3600 * float(hours or 0) if hours else 0.0
            yield (label,), max(0.0, age)

    return make


def _age_of(moment: Any, parts: _Parts, without: float) -> float:
    if moment is None:
        return without
    [(_, _, now)] = parts["now"]
    try:
        return max(0.0, (parse_timestamp(now) - parse_timestamp(moment)).total_seconds())
    except (TypeError, ValueError):
        # A damaged value, which the verification reports: as old as can be.
        return inf


_MAKERS: Mapping[MetricDeclaration, _Maker] = {
    declared.DATABASE_BYTES: _number("size"),
    declared.DELIVERIES: _numbers("deliveries", State.values),
    declared.DUE: _number("due"),
    declared.OLDEST_DUE: _age("oldest-due", 0.0),
    declared.EXPIRED_LEASES: _number("expired"),
    declared.CONNECTIONS: _numbers("connections", CONNECTION_STATES),
    declared.FAILING: _ages("failing", 0.0),
    declared.ALARMS: _numbers("alarms", AlarmKind.values),
    declared.NOTIFICATIONS: _numbers("notifications"),
    declared.WORKER_SEEN: _age("worker", inf),
    declared.JOBS: _numbers("jobs"),
    declared.OLDEST_JOB: _age("oldest-job", 0.0),
    declared.UNSEALED: _age("unsealed", 0.0),
    declared.CHECKPOINT_AGE: _ages("checkpoint", inf),
    declared.CHECKPOINT_FAILING: _ages("checkpoint-failing", 0.0),
    declared.VERIFIED_AGE: _age("verified", inf),
    declared.AUDIT_FAULTS: _number("verified"),
    declared.BACKUP_AGE: _age("backup", None),
    declared.DIFFERENCE_AGE: _ages("oldest-difference", 0.0),
    declared.COMPARISON_OVERDUE: _overdue("scheduled"),
    declared.COMPARISON_FAILED: _numbers("comparison-failed"),
    declared.CATCH_UP_OVERDUE: _overdue("catch-up"),
}
