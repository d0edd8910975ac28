"""Probe paused connections by a read that is known to work, before any delivery is let through.

A delivery may fail because of its own record, and would keep the connection paused for all others.
"""

import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from connectors.contracts.errors import ConnectorError
from connectors.contracts.types import TestableConnector
from connectors.exchange import OutgoingRequest, RecordedExchange
from database.connection import release_connection
from sync.attempts.delivery_run import open_connector
from sync.limits.circuit_breaker import SystemFailure, is_system_failure
from sync.limits.probe_reservations import (
    ReservedProbe,
    record_answered_probe,
    record_failed_probe,
    record_inconclusive_probe,
    reserve_probes,
)
from sync.limits.rate_limit import RateLimited, wait_for_turn
from sync.models import Connection

logger = logging.getLogger("hub.deliver")


class _ProbeTimedOut(Exception):
    """A probe needs more requests than its time allows."""


class _ProbeRecorder:
    """Recorder that keeps a probe within its time and the connection's rate limit, and stores nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ends_at = monotonic() + connection.deadline_seconds

    def record_request(self, _: OutgoingRequest) -> None:
        """Wait for the rate limit. Raises RateLimited, or _ProbeTimedOut after the deadline of one request."""
        left = self._ends_at - monotonic()
        if left <= 0:
            raise _ProbeTimedOut
        if (limit := self._connection.requests_per_second) is not None:
            wait_for_turn(self._connection, limit, left)
        # The system may take long: the database connection goes back to the pool meanwhile.
        release_connection()

    def check_before_sending(self, _: OutgoingRequest) -> None:
        """Allow every request: a probe sends no write."""

    def record_exchange(self, _: RecordedExchange) -> None:
        """Store nothing: a probe belongs to no attempt."""


def probe_paused_connections() -> int:
    """Probe the connections whose pauses are about to end. Returns how many of their systems answered."""
    probes = reserve_probes()
    if not probes:
        return 0
    # The threads below may need it.
    release_connection()
    # At once, so that a system that does not answer delays no other probe.
    with ThreadPoolExecutor(len(probes), thread_name_prefix="probe") as threads:
        return sum(threads.map(_probe_connection, probes))


def _probe_connection(probe: ReservedProbe) -> bool:
    """Send one probe and record its result. Returns True if the system answered."""
    try:
        return _send_and_record(probe)
    except Exception:
        logger.exception("the probe of %s failed; deliveries will be attempted", probe.connection.slug)
        return False
    finally:
        release_connection()


def _send_and_record(probe: ReservedProbe) -> bool:
    connection = probe.connection
    try:
        connector: TestableConnector = open_connector(  # type: ignore[assignment]
            connection, f"probe-{uuid.uuid4()}", _ProbeRecorder(connection)
        )
        connector.probe_system()
    except ConnectorError as error:
        if is_system_failure(error.code):
            record_failed_probe(probe, SystemFailure(error.code, error.retry_after))
        else:
            # The settings may be wrong for this read alone.
            record_inconclusive_probe(probe)
        return False
    except (RateLimited, _ProbeTimedOut):
        record_inconclusive_probe(probe)
        return False
    record_answered_probe(probe)
    return True
