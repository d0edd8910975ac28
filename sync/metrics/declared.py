"""All metrics of `/metrics`: their names, labels and meanings. Pure.

The documentation has a table made from these declarations, and a test compares alert rules and dashboard with them.
"""

from dataclasses import dataclass
from typing import Literal

from prometheus_client.utils import floatToGoString

# Seconds. The timeout of a connection is at most 30.
BUCKET_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, float("inf"))
BUCKET_NAMES = tuple(map(floatToGoString, BUCKET_BOUNDS))
# The label of what is not among the busiest connections or sources.
OTHER = "other"

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricDeclaration:
    """One metric. `name` is the name of its samples; those of a histogram have a suffix."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The name without the suffix of a counter, as prometheus-client names the family of its samples."""
        return self.name.removesuffix("_total")

    @property
    def unit(self) -> str:
        """The base unit at the end of the name, or an empty text."""
        last = self.family.rpartition("_")[2]
        return last if last in ("seconds", "bytes") else ""


def _counter(name: str, meaning: str, *labels: str) -> MetricDeclaration:
    return MetricDeclaration(name, "counter", meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> MetricDeclaration:
    return MetricDeclaration(name, "gauge", meaning, labels)


def _histogram(name: str, meaning: str, *labels: str) -> MetricDeclaration:
    return MetricDeclaration(name, "histogram", meaning, labels)


WEBHOOKS = _counter(
    "hub_webhooks_total",
    "Requests to the endpoints of sources, by the code and the HTTP status of the answer",
    "source", "outcome", "status",
)  # fmt: skip
WEBHOOK_SECONDS = _histogram(
    "hub_webhook_duration_seconds",
    "Time from a complete request of a source to its answer, including the wait for the outcome",
    "source",
)
UNREAD_REQUESTS = _counter(
    "hub_unread_requests_total",
    "Requests that the web server refused before it had read them in whole: too slow, too large, invalid HTTP",
    "code",
)
CONSOLE_SECONDS = _histogram(
    "hub_console_duration_seconds", "Time to answer a request to the console, by the class of the status", "status"
)  # fmt: skip
ATTEMPTS = _counter(
    "hub_attempts_total", "Attempts that ended, by outcome and by the party that must act next", "outcome", "owner"
)  # fmt: skip
DELIVERY_SECONDS = _histogram(
    "hub_delivery_duration_seconds",
    "Time from the arrival of a webhook to the end of its delivery, by the state in which it ended, without replays",
    "state",
)
REQUEST_SECONDS = _histogram(
    "hub_request_duration_seconds",
    "Duration of requests to a connected system, failed ones included",
    "connection", "purpose",
)  # fmt: skip
REQUEST_FAILURES = _counter(
    "hub_request_failures_total",
    "Requests to a connected system that failed, by code",
    "connection", "code",
)  # fmt: skip
PROCESSES = _gauge("hub_processes", "Processes of this machine that measure", "role")
HTTP_THREADS = _gauge(
    "hub_http_threads", "Requests that the web processes of this machine answer at once, at most"
)
HTTP_RUNNING = _gauge("hub_http_requests_running", "Requests that they are answering now")
DELIVERY_THREADS = _gauge(
    "hub_delivery_threads", "Deliveries that the processes of this machine run at once, at most", "role"
)
ATTEMPTS_RUNNING = _gauge("hub_attempts_running", "Attempts that they are running now", "role")
POOL_LIMIT = _gauge("hub_database_pool_limit", "Connections that the pools may open (PostgreSQL)", "role")
POOL_USED = _gauge("hub_database_pool_used", "Connections of the pools in use (PostgreSQL)", "role")
POOL_WAITING = _gauge(
    "hub_database_pool_waiting", "Threads that wait for a connection of a pool (PostgreSQL)", "role"
)
PROCESS_METRICS = (
    WEBHOOKS,
    WEBHOOK_SECONDS,
    UNREAD_REQUESTS,
    CONSOLE_SECONDS,
    ATTEMPTS,
    DELIVERY_SECONDS,
    REQUEST_SECONDS,
    REQUEST_FAILURES,
    PROCESSES,
    HTTP_THREADS,
    HTTP_RUNNING,
    DELIVERY_THREADS,
    ATTEMPTS_RUNNING,
    POOL_LIMIT,
    POOL_USED,
    POOL_WAITING,
)

BUILD_INFO = _gauge(
    "hub_build_info", "Always 1; the versions are its labels", "version", "python", "django", "database"
)
DATABASE_UP = _gauge(
    "hub_database_up", "1 if the database answered this scrape, else 0, and the figures below are missing"
)
DATABASE_BYTES = _gauge("hub_database_size_bytes", "Size of the database")
DELIVERIES = _gauge(
    "hub_deliveries",
    "Deliveries by state, as a worker last counted them; of those of one event, the one whose state the event shows",
    "state",
)
DUE = _gauge("hub_due_deliveries", "Deliveries that could run now, counted up to 10,001")
OLDEST_DUE = _gauge(
    "hub_oldest_due_seconds",
    "Time for which the oldest due delivery of a live route has waited, without paused connections; else 0. Of each "
    "route it reads the oldest, of all routes together about 10,000",
)
EXPIRED_LEASES = _gauge(
    "hub_expired_leases", "Running deliveries whose process died or hangs, counted up to 10,001"
)
CONNECTIONS = _gauge(
    "hub_connections",
    "Connections by state: enabled, failing (its circuit breaker is not closed), paused (by a person, or because its "
    "ids changed), disabled",
    "state",
)
FAILING = _gauge(
    "hub_connection_failing_seconds",
    "Time for which a connection has been failing; only failing connections, at most 100",
    "connection",
)
ALARMS = _gauge("hub_alarms", "Alarms that are active, snoozed ones included", "kind")
NOTIFICATIONS = _gauge("hub_notifications_waiting", "Alarm notifications that wait to be sent", "channel")
WORKER_SEEN = _gauge(
    "hub_worker_last_seen_seconds", "Time since a worker last ended periodic work; +Inf if none ever has"
)
JOBS = _gauge("hub_jobs", "Jobs that wait or run: exports, bulk replays, erasures and others", "kind")
OLDEST_JOB = _gauge("hub_oldest_job_seconds", "Time for which the oldest waiting job has been due; else 0")
UNSEALED = _gauge("hub_audit_unsealed_seconds", "Age of the oldest audit entry that is not sealed; else 0")
CHECKPOINT_AGE = _gauge(
    "hub_audit_checkpoint_age_seconds",
    "Time since a checkpoint was last published; +Inf if none was",
    "channel",
)
CHECKPOINT_FAILING = _gauge(
    "hub_audit_checkpoint_failing_seconds", "Time for which publishing has failed; 0 if it works", "channel"
)
VERIFIED_AGE = _gauge(
    "hub_audit_verified_seconds", "Time since the whole audit log was last verified; +Inf if it never was"
)
AUDIT_FAULTS = _gauge("hub_audit_faults", "Faults that the last verification found, counted up to 100")
BACKUP_AGE = _gauge(
    "hub_backup_age_seconds",
    "Time since `manage.py backup` last finished a backup; missing if it never did",
)
DIFFERENCE_AGE = _gauge(
    "hub_oldest_difference_seconds",
    "Time since the oldest difference in the newest comparison of two systems was first found; else 0. The label is "
    "the oldest route between them, also below; at most 100",
    "route",
)
COMPARISON_OVERDUE = _gauge(
    "hub_comparison_overdue_seconds",
    "Time for which a scheduled comparison of two systems has been due; else 0",
    "route",
)
COMPARISON_FAILED = _gauge(
    "hub_comparison_failed", "1 if the newest comparison of two systems has failed, else 0", "route"
)
CATCH_UP_OVERDUE = _gauge(
    "hub_catch_up_overdue_seconds",
    "Time for which a list of changed entities should have been read to its end; else 0. The label is the identity "
    "connection and the entity type; at most 100",
    "catch_up",
)
DATABASE_METRICS = (
    DATABASE_BYTES,
    DELIVERIES,
    DUE,
    OLDEST_DUE,
    EXPIRED_LEASES,
    CONNECTIONS,
    FAILING,
    ALARMS,
    NOTIFICATIONS,
    WORKER_SEEN,
    JOBS,
    OLDEST_JOB,
    UNSEALED,
    CHECKPOINT_AGE,
    CHECKPOINT_FAILING,
    VERIFIED_AGE,
    AUDIT_FAULTS,
    BACKUP_AGE,
    DIFFERENCE_AGE,
    COMPARISON_OVERDUE,
    COMPARISON_FAILED,
    CATCH_UP_OVERDUE,
)
ALL_METRICS = (BUILD_INFO, DATABASE_UP, *DATABASE_METRICS, *PROCESS_METRICS)
