"""Plan an attempt against the live systems and send nothing, by the engine of a delivery (`sync.attempts.plan`) with
recorders that allow only reads.
"""

import copy
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from connectors.exchange import OutgoingRequest, RecordedExchange, Recorder
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
    """What an attempt would do. Without a `change`, `code` gives the reason, and `findings` what was found before."""

    change: Change | None = None
    code: str = ""
    result: AttemptResult | None = None
    findings: AttemptFindings = field(default_factory=AttemptFindings)


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


def preview_attempt(
    claim: Claim,
    recorders: Sequence[Recorder],
    *,
    is_waited_for: bool = True,
    adapt: Callable[[Connectors], Connectors] | None = None,
    raises: tuple[type[Exception], ...] = (),
) -> PreviewedAttempt:
    """Plan the attempt of a claim; the rest is as of `read_live`."""
    return read_live(
        claim,
        recorders,
        lambda connectors, findings: plan_change(claim, connectors, findings).change,
        is_waited_for=is_waited_for,
        adapt=adapt,
        raises=raises,
    )


def read_live(
    claim: Claim,
    recorders: Sequence[Recorder],
    read: Callable[[Connectors, AttemptFindings], Change | None],
    *,
    is_waited_for: bool,
    adapt: Callable[[Connectors], Connectors] | None = None,
    raises: tuple[type[Exception], ...] = (),
) -> PreviewedAttempt:
    """Run `read` with the connectors of a claim; it may return a change. `recorders`: of the identity service, then of
    the target.

    `is_waited_for`: a person waits, so that each call gets at most CALL_SECONDS. `adapt` may replace the connectors.
    `raises`: what the recorders may raise and is not a result of the attempt.
    """
    release_connection()
    findings = AttemptFindings()
    try:
        connectors = _open_connectors(claim, recorders, findings.scrubber, is_waited_for=is_waited_for)
        change = read(adapt(connectors) if adapt else connectors, findings)
        shown = None if change is None else redact_change(change, findings.scrubber.scrub_document)
        return PreviewedAttempt(shown, findings=findings)
    except PreviewTimedOut:
        return PreviewedAttempt(code="preview-late", findings=findings)
    except ConnectionPaused:
        return PreviewedAttempt(code="preview-paused", findings=findings)
    except raises:
        raise
    except Exception as error:  # noqa: BLE001 - as at the delivery boundary: reported, never raised
        return _preview_of_error(claim, error, findings)


def _open_connectors(
    claim: Claim, recorders: Sequence[Recorder], scrubber: SecretScrubber, *, is_waited_for: bool
) -> Connectors:
    """Open both connectors of a claim for reads. Raises ConnectorError if stored settings are invalid."""
    connections = (claim.delivery.identity, claim.delivery.target)
    identity, target = (
        open_connector(
            limit_deadline(connection) if is_waited_for else connection,
            str(claim.attempt.key),
            recorder,
            scrubber,
            trace=claim.delivery.event.own_trace,
        )
        for connection, recorder in zip(connections, recorders, strict=True)
    )
    return Connectors(identity, target)  # type: ignore[arg-type]


def limit_deadline(connection: Connection) -> Connection:
    """Return a copy of a connection whose requests take at most CALL_SECONDS."""
    # The cached connection is shared by threads.
    limited = copy.copy(connection)
    limited.deadline_seconds = min(limited.deadline_seconds, CALL_SECONDS)
    return limited


def _preview_of_error(claim: Claim, error: Exception, findings: AttemptFindings) -> PreviewedAttempt:
    result = failure_result(error, claim)
    if result.code == "internal-failure":
        logger.error(
            "preview of %s: unexpected %s", claim.delivery.event, type(error).__name__, exc_info=error
        )
    return PreviewedAttempt(code=result.code, result=result, findings=findings)


def call_summary(call: RecordedExchange) -> str:
    """Describe a call for the audit log. The template of its path holds no value."""
    outcome = call.status if call.status is not None else call.error_code
    return f"{call.request.method} {call.request.path_template} {outcome}"
