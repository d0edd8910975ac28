"""Plan an attempt against the live systems and send nothing, by the engine of a delivery (`sync.attempts.plan`) with
recorders that allow only reads.
"""

import copy
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from config_schema.codes.trace_context import Trace
from connectors.exchange import OutgoingRequest, RecordedExchange
from connectors.values.secret_scrubber import SecretScrubber
from database.connection import release_connection
from sync.attempts.attempt_result import AttemptResult, failure_result
from sync.attempts.delivery_run import open_connector
from sync.attempts.plan import AttemptFindings, Connectors, plan_change
from sync.deliveries.claims import Claim
from sync.limits.circuit_breaker import allowed_deliveries
from sync.limits.rate_limit import wait_for_turn
from sync.models import Connection
from sync.planning.change import Change, redact_change

logger = logging.getLogger("hub.preview")

CALL_SECONDS = 4.0


class PreviewTimedOut(Exception):
    """The preview reached its deadline."""


class ConnectionPaused(Exception):
    """The connection is paused; previews send nothing to it either."""


class PreviewWouldWrite(Exception):
    """A preview tried to write: a bug of the hub. Nothing was sent."""


def require_read(request: OutgoingRequest) -> None:
    """Raise PreviewWouldWrite for a write: nothing but reads may be sent."""
    if request.is_write:
        raise PreviewWouldWrite(f"{request.method} {request.path_template}")


@dataclass(frozen=True, slots=True)
class PreviewedAttempt:
    """What an attempt would do. Without a `change`, `code` gives the reason."""

    change: Change | None = None
    code: str = ""
    result: AttemptResult | None = None


@dataclass(slots=True)
class PreviewRecorder:
    """`Recorder` of one connection in a preview: allows reads until the deadline."""

    connection: Connection
    deadline: float
    calls: list[RecordedExchange] = field(default_factory=list)

    def record_request(self, request: OutgoingRequest) -> None:
        """Allow a read. Raises PreviewTimedOut, ConnectionPaused, or PreviewWouldWrite for a write."""
        require_read(request)
        seconds_left = self.deadline - time.monotonic()
        if seconds_left <= 0:
            raise PreviewTimedOut
        if allowed_deliveries(self.connection) == 0:
            raise ConnectionPaused
        if (limit := self.connection.requests_per_second) is not None:
            wait_for_turn(self.connection, limit, seconds_left)
        release_connection()

    def check_before_sending(self, _: OutgoingRequest) -> None:
        """Allow every write: none is recorded."""

    def record_exchange(self, exchange: RecordedExchange) -> None:
        """Store the request for the audit log, but not its response."""
        self.calls.append(exchange)


def preview_attempt(claim: Claim, recorders: Sequence[PreviewRecorder]) -> PreviewedAttempt:
    """Plan the attempt of a claim. `recorders`: of the identity service, then of the target."""
    release_connection()
    try:
        findings = AttemptFindings()
        identity, target = (
            _make_connector(
                recorder, str(claim.attempt.key), findings.scrubber, claim.delivery.event.own_trace
            )
            for recorder in recorders
        )
        ends = Connectors(identity, target)  # type: ignore[arg-type]
        plan = plan_change(claim, ends, findings)
        return PreviewedAttempt(redact_change(plan.change, findings.scrubber.scrub_document))
    except PreviewTimedOut:
        return PreviewedAttempt(code="preview-late")
    except ConnectionPaused:
        return PreviewedAttempt(code="preview-paused")
    except Exception as error:  # noqa: BLE001 - as at the delivery boundary: reported, never raised
        return _preview_of_error(claim, error)


def _make_connector(
    recorder: PreviewRecorder, request_id: str, scrubber: SecretScrubber, trace: Trace
) -> object:
    # The cached connection is shared by threads.
    limited = copy.copy(recorder.connection)
    limited.deadline_seconds = min(limited.deadline_seconds, CALL_SECONDS)
    return open_connector(limited, request_id, recorder, scrubber, trace=trace)


def _preview_of_error(claim: Claim, error: Exception) -> PreviewedAttempt:
    result = failure_result(error, claim)
    if result.code == "internal-failure":
        logger.error(
            "preview of %s: unexpected %s", claim.delivery.event, type(error).__name__, exc_info=error
        )
    return PreviewedAttempt(code=result.code, result=result)


def call_summary(call: RecordedExchange) -> str:
    """Describe a call for the audit log. The template of its path holds no value."""
    outcome = call.status if call.status is not None else call.error_code
    return f"{call.request.method} {call.request.path_template} {outcome}"
