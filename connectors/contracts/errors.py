"""Errors of the connectors: the system at fault, and whether a retry can help."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar, Literal, Self

from connectors.contracts.types import FieldError

Side = Literal["identity", "target"]

MAX_RETRY_AFTER_SECONDS = 3600.0
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?", re.ASCII)
HUB_EXHAUSTED_CODE = "hub-exhausted"


class ConnectorError(Exception):
    """A request that did not succeed.

    The message names the method and the path template, never a value, a secret or text of the remote system. If
    `maybe_applied`, a write may have reached the remote system. `retry_after` is the number of seconds to wait that the
    system asked for. `sentence` and `fields` are the system's own message, cleaned: it may be displayed but not logged.
    `language` is the Content-Language of the response. `says` is the sentence that the settings have for people in
    place of the system's message, by language; None if they have none. `status` is the status of the response or, if a
    rule of the settings matches, one that has the meaning of that rule.
    """

    code_suffix: ClassVar[str]
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
        status: int | None = None,
        language: str = "",
        says: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.side = side
        self.retry_after = retry_after
        self.sentence = sentence
        self.fields = fields
        self.maybe_applied = maybe_applied
        self.status = status
        self.language = language
        self.says = says

    @property
    def code(self) -> str:
        """Return the outcome code: the side at fault and the kind of failure."""
        return f"{self.side}-{self.code_suffix}"


class SystemUnavailable(ConnectorError):
    """No connection, a connection cut, or an answer of 408, 425 or 5xx."""

    code_suffix = "unavailable"


class HubExhausted(ConnectorError):
    """No connection, because the hub itself has no file descriptor, port, memory or thread left. Nothing was sent, and
    nothing is known of the remote system.
    """

    code_suffix = "exhausted"

    @property
    def code(self) -> str:
        return HUB_EXHAUSTED_CODE


class RequestTimedOut(ConnectorError):
    """The exchange did not end before its deadline."""

    code_suffix = "timeout"


class RequestThrottled(ConnectorError):
    """429: too many requests."""

    code_suffix = "throttled"


class CredentialsRefused(ConnectorError):
    """401, 403, a refusal of the token endpoint or of the client certificate. Retryable: an administrator may correct
    the credentials.
    """

    code_suffix = "credentials"


class ItemForbidden(ConnectorError):
    """403 for one entity or record, while others can be read. Retryable: an administrator may grant access."""

    code_suffix = "forbidden"


class RequestRejected(ConnectorError):
    """Any other 4xx: the remote system rejects the data, and will reject it again."""

    code_suffix = "rejected"
    retryable = False


class ValueMissing(RequestRejected):
    """The target rejects fields for which it was sent no value: the mapping gives none."""

    code_suffix = "missing-value"


class PositionRefused(RequestRejected):
    """The place of a page was refused: the system answers 4xx to a stored position, such as a cursor that expired, or
    the position is not of the list that the settings describe now. The list can only be read from its first page.
    """

    @classmethod
    def from_rejection(cls, rejected: RequestRejected) -> Self:
        """Return the error for the rejection of a position."""
        return cls(
            str(rejected),
            side=rejected.side,
            retry_after=rejected.retry_after,
            sentence=rejected.sentence,
            fields=rejected.fields,
            status=rejected.status,
            language=rejected.language,
            says=rejected.says,
        )


class RecordExists(RequestRejected):
    """The target rejects a record because one with such a value exists already. Nothing was written."""


class RecordStale(ConnectorError):
    """The record was changed since it was read, and the conditional write was refused. Nothing was written."""

    code_suffix = "stale"


class UnreadableResponse(ConnectorError):
    """A response that cannot be used: not JSON, wrong shape, another entity, a redirect, too large."""

    code_suffix = "garbled"


class UnsafeRequest(ConnectorError):
    """An id, value or URL that must not be sent. No request was made."""

    code_suffix = "unsafe-id"
    retryable = False


class NotConfigured(ConnectorError):
    """The settings of the connection do not say how to do this. No request was made. `fields` names the setting."""

    code_suffix = "not-configured"
    retryable = False


class SettingOverBudget(ConnectorError):
    """An expression in the settings of the connection costs more than its budget. `fields` names the setting."""

    code_suffix = "over-budget"
    retryable = False


SUCCESS_STATUSES = range(200, 300)


def error_for_status(status: int) -> type[ConnectorError] | None:
    """Return the error for an HTTP status, None for success."""
    if status in SUCCESS_STATUSES:
        return None
    if status in {408, 425} or 500 <= status < 600:
        return SystemUnavailable
    if status == 429:
        return RequestThrottled
    if status in {401, 403}:
        return CredentialsRefused
    return RequestRejected if 400 <= status < 500 else UnreadableResponse


def write_may_have_applied(status: int) -> bool:
    """Return True if a write with this status may have been applied: servers fail, and redirect, after the
    work too.
    """
    return status == 408 or not 400 <= status < 500


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3), at most one hour; None if unreadable. Some systems
    send a fraction, such as `2.0`.
    """
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError):
        return None
    # Without a usable zone: HTTP dates are in UTC.
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((aware - now).total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)
