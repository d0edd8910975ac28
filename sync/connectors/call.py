"""One request, ready to be sent, as the client and the authenticators hand it to each other."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sync.connectors import errors
from sync.connectors.exchange import Purpose
from sync.connectors.wire import Answer


class Call(NamedTuple):
    """One request, ready but for its secret headers."""

    purpose: Purpose
    method: str
    url: str
    template: str
    origin: str
    is_caged: Callable[[str], bool]
    headers: Mapping[str, str]
    body: bytes | None
    key: str | None
    write: bool

    def __repr__(self) -> str:
        return f"<Call {self.label}>"

    @property
    def label(self) -> str:
        """The request without anything secret or personal."""
        return f"{self.method} {self.template}"

    def error_for(self, status: int) -> type[errors.ConnectorError] | None:
        """The error that a status means here: a token endpoint that refuses refuses our credentials."""
        kind = errors.error_for_status(status)
        return errors.CredentialsRefused if kind is errors.Rejected and self.purpose == "token" else kind


class Sender(NamedTuple):
    """Sends a call with its secret headers, within so many seconds; the answer may have any status.

    Raises errors.ConnectorError.
    """

    send: Callable[[Call, Mapping[str, str]], Answer]
    seconds: float
