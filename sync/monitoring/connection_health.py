"""How a connection is doing: healthy, slow, failing or paused, from the figures of its calls."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

FEW = 3  # so many failures are bad luck, however few requests there were
FAILING_SHARE = 0.2
SHAKY_SHARE = 0.05  # less than that happens to every system
SLOW_TIMES = 2.0
SLOW_SECONDS = 0.25  # what nobody would notice is not called slow
SLOW_UNKNOWN = 5.0  # where it is not known what is usual
SLOW_CALLS = 5


class Health(Enum):
    """How well a connection works."""

    HEALTHY = "healthy"
    SHAKY = "shaky"
    SLOW = "slow"
    FAILING = "failing"
    PAUSED = "paused"
    OFF = "off"
    IDLE = "idle"

    @property
    def is_wrong(self) -> bool:
        """Whether somebody should look now."""
        return self in (Health.SLOW, Health.FAILING, Health.PAUSED)


@dataclass(frozen=True, slots=True)
class ConnectionFigures:
    """Of this hour and perhaps the last: `calls`, how many `failed` by the system's own fault, and `p95`, in seconds.

    `usual_p95` is that of the week before, None where there was none. `paused_until` and `successes` are the breaker's:
    None while it is closed; past while it is half-open. `slow_since` is when the first hour of a slow spell began.
    """

    is_enabled: bool = True
    calls: int = 0
    failed: int = 0
    p95: float | None = None
    usual_p95: float | None = None
    paused_until: datetime | None = None
    successes: int = 0
    enough: int = 8
    slow_since: datetime | None = None

    @property
    def share(self) -> float:
        """How much of it failed, 0 to 1."""
        return self.failed / self.calls if self.calls else 0.0


def health_of(figures: ConnectionFigures) -> Health:
    """The word. What stops deliveries counts before what only slows them."""
    if not figures.is_enabled:
        return Health.OFF
    if figures.paused_until is not None:
        return Health.PAUSED
    if not figures.calls:
        return Health.IDLE
    if figures.failed >= FEW and figures.share >= FAILING_SHARE:
        return Health.FAILING
    if is_slow(figures.calls, figures.p95, figures.usual_p95):
        return Health.SLOW
    return Health.SHAKY if figures.share >= SHAKY_SHARE else Health.HEALTHY


def is_slow(calls: int, p95: float | None, usual: float | None) -> bool:
    """Twice what is usual, by more than a quarter of a second; five seconds where nothing is usual."""
    if p95 is None or calls < SLOW_CALLS:
        return False
    if usual is None:
        return p95 >= SLOW_UNKNOWN
    return p95 >= SLOW_TIMES * usual and p95 - usual >= SLOW_SECONDS
