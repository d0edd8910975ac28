"""The pace of jobs that read a system: they let deliveries go first, and get a share of the system's limits."""

import time
from dataclasses import dataclass
from typing import Protocol

from connectors.exchange import OutgoingRequest, RecordedExchange
from database.connection import release_connection
from database.statement import Statement
from sync.deliveries.predicates import can_run, may_run_beside_others
from sync.jobs.running_job import JobStopped, ShouldContinue
from sync.limits.circuit_breaker import allowed_deliveries
from sync.limits.rate_limit import RateLimited, wait_for_turn
from sync.models import Connection
from sync.previews.attempt_preview import require_read
from webhooks.models.rate_limit import RateLimit, RateLimitExceeded, reserve_turn

# A delivery that starts within this time does not hold up a job.
DELIVERY_WAIT_SECONDS = 1.0
# Then the job is handed back, and runs again later.
_MAX_BACKLOG_SECONDS = 60.0
_MAX_TURN_SECONDS = 20.0
_BACKLOG_STEP_SECONDS = 0.25
RETRY_SECONDS = 30.0
# Share of a connection's rate limit that these jobs may use.
RATE_SHARE = 0.5

_WAITING_DELIVERY = Statement(
    f"""SELECT 1 FROM sync_delivery d WHERE {can_run("d", at="{clock}")} AND {may_run_beside_others("d")}
    AND (d.target_id = %s OR d.identity_id = %s) ORDER BY d.due_at, d.id LIMIT 1"""  # noqa: S608
)


class ReadsWait(Exception):
    """A system cannot be read now. `code`: why. `is_failure`: False if nothing is wrong with the system."""

    def __init__(self, code: str, seconds: float = RETRY_SECONDS, *, is_failure: bool = True) -> None:
        super().__init__(code)
        self.code, self.seconds, self.is_failure = code, seconds, is_failure


class ReadingRun(Protocol):
    """One run of a job that reads. `requests`: how many it has sent."""

    requests: int

    @property
    def should_continue(self) -> ShouldContinue:
        """Return a function that is False once the process is stopping."""

    def renew_lease(self) -> None:
        """Renew the lease of the job if it was not renewed a moment ago. Raises JobLost."""


@dataclass(slots=True)
class PacedRecorder:
    """`Recorder` of one connection: allows reads, at half of the connection's rate, while no delivery waits for it and
    neither a person nor the breaker has paused it. Nothing of a request is stored but its number.
    """

    connection: Connection
    run: ReadingRun

    def record_request(self, request: OutgoingRequest) -> None:
        """Allow a read. Raises ReadsWait, JobStopped, JobLost, or PreviewWouldWrite for a write."""
        require_read(request)
        if not self.run.should_continue():
            raise JobStopped
        self._require_open()
        self._wait_for_deliveries()
        if (limit := self.connection.requests_per_second) is not None:
            self._wait_for_turn(limit)
        self.run.renew_lease()
        self.run.requests += 1
        release_connection()

    def _require_open(self) -> None:
        if self.connection.paused_at is not None:
            raise ReadsWait("connection-paused", is_failure=False)
        if allowed_deliveries(self.connection) == 0:
            raise ReadsWait(f"{self.connection.side}-unavailable")

    def _wait_for_deliveries(self) -> None:
        """Wait while a delivery that could use the connection has been due for a second."""
        key, until = self.connection.pk, time.monotonic() + _MAX_BACKLOG_SECONDS
        while _WAITING_DELIVERY.fetch_all(-DELIVERY_WAIT_SECONDS, key, key):
            if not self.run.should_continue():
                raise JobStopped
            if time.monotonic() > until:
                raise ReadsWait("deliveries-wait", is_failure=False)
            self.run.renew_lease()
            release_connection()
            time.sleep(_BACKLOG_STEP_SECONDS)

    def _wait_for_turn(self, limit: float) -> None:
        """Wait for a turn among these jobs, which get their share of the limit, and then among all requests."""
        share = RateLimit(limit * RATE_SHARE, max(1, int(limit * RATE_SHARE * 0.2)))
        try:
            wait = reserve_turn(f"comparison:{self.connection.pk}", share, _MAX_TURN_SECONDS)
            if wait:
                release_connection()
                time.sleep(wait)
            wait_for_turn(self.connection, limit, _MAX_TURN_SECONDS)
        except (RateLimitExceeded, RateLimited) as refused:
            raise ReadsWait("rate-limited", refused.seconds, is_failure=False) from refused

    def check_before_sending(self, _: OutgoingRequest) -> None:
        """Allow every write: none is recorded."""

    def record_exchange(self, exchange: RecordedExchange) -> None:
        """Store nothing: the audit log has what the job found."""
