"""Remember which credentials a system refused, so that no password is tried again until someone intervenes."""

import threading
import time
from enum import StrEnum
from typing import Protocol


class LogInPermission(StrEnum):
    """The answer of a guard to a log-in that is about to be sent."""

    GRANTED = "granted"
    # Another thread or process logs in with the same credentials at the moment.
    BUSY = "busy"
    # The system refused these credentials before.
    REFUSED = "refused"


class LogInGuard(Protocol):
    """Allows one log-in at a time for the same credentials, and none after a refusal.

    `key` is a digest of the settings and credentials of the log-in; they cannot be read from it.
    """

    def claim_log_in(self, key: str, seconds: float, *, is_forced: bool) -> LogInPermission:
        """Claim the only log-in of these credentials for `seconds`. `is_forced`: also after a refusal, because a
        person asked for it.
        """

    def finish_log_in(self, key: str, *, is_refused: bool | None) -> None:
        """End a claimed log-in: refused or accepted; None if the system did not decide."""


class MemoryGuard:
    """Guard of this process alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: set[str] = set()
        self._busy_until: dict[str, float] = {}

    def claim_log_in(self, key: str, seconds: float, *, is_forced: bool) -> LogInPermission:
        with self._lock:
            if key in self._refused and not is_forced:
                return LogInPermission.REFUSED
            if self._busy_until.get(key, 0.0) > time.monotonic():
                return LogInPermission.BUSY
            self._busy_until[key] = time.monotonic() + seconds
            return LogInPermission.GRANTED

    def finish_log_in(self, key: str, *, is_refused: bool | None) -> None:
        with self._lock:
            self._busy_until.pop(key, None)
            if is_refused:
                self._refused.add(key)
            elif is_refused is False:
                self._refused.discard(key)


_guard: LogInGuard = MemoryGuard()


def use_log_in_guard(guard: LogInGuard) -> None:
    """Make a guard that all processes share the guard of this process."""
    global _guard  # noqa: PLW0603
    _guard = guard


def current_guard() -> LogInGuard:
    """Return the guard of this process."""
    return _guard
