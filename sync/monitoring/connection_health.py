"""Classify the health of a connection from the figures of its calls."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

# Fewer failures are bad luck, however few requests there were.
MIN_FAILURES = 3
FAILING_SHARE = 0.2
# Less than that happens to every system.
DEGRADED_SHARE = 0.05
SLOW_FACTOR = 2.0
# A delay that no one notices is not called slow.
SLOW_SECONDS = 0.25
# Limit where the usual duration is unknown.
SLOW_WITHOUT_BASELINE = 5.0
# With fewer calls the p95 is only the slowest call.
MIN_CALLS_FOR_SLOW = 5


class ConnectionHealth(Enum):
    """Health of a connection. `FAILING`: it fails by itself, also while its circuit breaker is not closed. `PAUSED`: a
    person paused it, or the hub did so because its ids changed.
    """

    HEALTHY = "healthy"
    DEGRADED = "shaky"
    SLOW = "slow"
    FAILING = "failing"
    PAUSED = "paused"
    OFF = "off"
    IDLE = "idle"

    @property
    def needs_attention(self) -> bool:
        """True if a person should look now. A pause needs nobody: a person decided it, or an alarm tells of it."""
        return self in (ConnectionHealth.SLOW, ConnectionHealth.FAILING)


@dataclass(frozen=True, slots=True)
class ConnectionFigures:
    """Request figures of one connection, of the current hour and possibly the one before.

    `failed_count` counts failures of the system itself; `p95` and `usual_p95` are in seconds, the latter of
    the week before, None without requests. `is_paused`: a person paused it, or the hub because its ids changed.
    `open_until` and the following come from the circuit breaker: None while it is closed, in the past while it is
    half-open; `errors` that opened it, with the HTTP `status` or the `code` of the last one. `slow_since` is the start
    of the first slow hour in a row.
    """

    is_enabled: bool = True
    calls: int = 0
    failed: int = 0
    p95: float | None = None
    usual_p95: float | None = None
    is_paused: bool = False
    open_until: datetime | None = None
    failing_since: datetime | None = None
    errors: int = 0
    status: int | None = None
    code: str = ""
    successes: int = 0
    successes_needed: int = 8
    slow_since: datetime | None = None

    @property
    def failure_share(self) -> float:
        """Share of failed calls, 0 to 1."""
        return self.failed / self.calls if self.calls else 0.0


def classify_health(figures: ConnectionFigures) -> ConnectionHealth:
    """Classify a connection. A state that stops deliveries outranks one that slows them."""
    if not figures.is_enabled:
        return ConnectionHealth.OFF
    if figures.is_paused:
        return ConnectionHealth.PAUSED
    fails = figures.failed >= MIN_FAILURES and figures.failure_share >= FAILING_SHARE
    if figures.open_until is not None or fails:
        return ConnectionHealth.FAILING
    if not figures.calls:
        return ConnectionHealth.IDLE
    if is_slow(figures.calls, figures.p95, figures.usual_p95):
        return ConnectionHealth.SLOW
    return ConnectionHealth.DEGRADED if figures.failure_share >= DEGRADED_SHARE else ConnectionHealth.HEALTHY


def is_slow(calls: int, p95: float | None, usual: float | None) -> bool:
    """Return True for twice the usual p95 and 0.25 s more; for 5 s if the usual p95 is unknown."""
    if p95 is None or calls < MIN_CALLS_FOR_SLOW:
        return False
    if usual is None:
        return p95 >= SLOW_WITHOUT_BASELINE
    return p95 >= SLOW_FACTOR * usual and p95 - usual >= SLOW_SECONDS
