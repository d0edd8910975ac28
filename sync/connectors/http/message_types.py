"""What goes over the wire and what comes back, whatever library carries it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sync.connectors.http.dns import Network


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """How a connection may be used. `timeout_seconds` over the whole exchange, `byte_cap` on an answer's body.

    `ca`: certificates in PEM to trust in place of the bundled ones. `allowed_networks`: the only addresses allowed.
    """

    origin: str
    deadline_seconds: float
    byte_cap: int
    ca_certificates: str | None = None
    allowed_networks: tuple[Network, ...] = ()


class HttpRequest(NamedTuple):
    """What is to be sent. `is_allowed_url` judges the URL as the library is going to send it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    is_allowed_url: Callable[[str], bool]


class HttpResponse(NamedTuple):
    """What came back, undecoded. Header names are lower-case; `bytes_received` counts bytes off the connection."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    bytes_received: int


class ExchangeFailure(Exception):
    """No whole answer. `may_have_arrived`: the request may have arrived. `was_pooled`: a kept connection was cut."""

    def __init__(
        self,
        reason: str,
        *,
        may_have_arrived: bool = False,
        was_pooled: bool = False,
        bytes_received: int = 0,
    ) -> None:
        super().__init__(reason)
        self.may_have_arrived = may_have_arrived
        self.was_pooled = was_pooled
        self.bytes_received = bytes_received


class DeadlineExceeded(ExchangeFailure):
    """The deadline came first."""


class ConnectionFailed(ExchangeFailure):
    """No connection, or one that was cut."""


class InvalidResponse(ExchangeFailure):
    """Not HTTP as we asked for it: malformed, encoded, too large."""


class UrlNotAllowed(ExchangeFailure):
    """The finished URL is not the one that was meant. Nothing was sent."""
