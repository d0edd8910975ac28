"""The one family of errors that a connector raises: whose fault, and can trying again help."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar, Literal

from sync.connectors.contracts.types import FieldError

Side = Literal["identity", "target"]

LONGEST_RETRY_AFTER = 3600.0


class ConnectorError(Exception):
    """A call that did not do what was asked.

    The message names the method and the path template, never a value, a secret or a host's own words.
    `maybe_applied`: a write may have reached the other side. `retry_after`: seconds that the other side
    asked for. `sentence` and `fields`: what the other side said, cleaned, fit for display but not for logs.
    """

    word: ClassVar[str]
    retryable: ClassVar[bool] = True

    def __init__(
        self,
        message: str,
        *,
        side: Side,
        retry_after: float | None = None,
        sentence: str | None = None,
        fields: tuple[FieldError, ...] = (),
        maybe_applied: bool = False,
    ) -> None:
        super().__init__(message)
        self.side = side
        self.retry_after = retry_after
        self.sentence = sentence
        self.fields = fields
        self.maybe_applied = maybe_applied

    @property
    def code(self) -> str:
        """The stable word of the outcome, prefixed by the side it belongs to."""
        return f"{self.side}-{self.word}"


class Unavailable(ConnectorError):
    """No connection, a connection cut, or an answer of 408, 425 or 5xx."""

    word = "unavailable"


class TimedOut(ConnectorError):
    """The exchange had not ended when its deadline came."""

    word = "timeout"


class Throttled(ConnectorError):
    """429: too many requests."""

    word = "throttled"


class CredentialsRefused(ConnectorError):
    """401, 403, or a refusal by the token endpoint. Retryable: somebody may put the credentials right."""

    word = "credentials"


class Rejected(ConnectorError):
    """Any other 4xx: the other side refuses the data, and will refuse it again."""

    word = "rejected"
    retryable = False


class Garbled(ConnectorError):
    """An answer that cannot be believed: not JSON, wrong shape, another entity, a redirect, too large."""

    word = "garbled"


class Unsafe(ConnectorError):
    """An id, value or URL that must not be sent. No request was made."""

    word = "unsafe-id"
    retryable = False


def error_for_status(status: int) -> type[ConnectorError] | None:
    """The error that an HTTP status means, None for success."""
    if 200 <= status < 300:
        return None
    if status in {408, 425} or 500 <= status < 600:
        return Unavailable
    if status == 429:
        return Throttled
    if status in {401, 403}:
        return CredentialsRefused
    return Rejected if 400 <= status < 500 else Garbled


def may_have_applied(status: int) -> bool:
    """Whether a write answered so may stand all the same: servers fail, and redirect, after the work too."""
    return status == 408 or not 400 <= status < 500


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3), at most one hour; None if unreadable."""
    if not value:
        return None
    if value.isascii() and value.isdigit() and len(value) <= 10:
        return min(float(value), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((aware - now).total_seconds(), 0.0), LONGEST_RETRY_AFTER)
