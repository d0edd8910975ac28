"""Requests, responses and failures of one exchange, independent of the HTTP library."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from connectors.http.client_certificates import ClientCertificate
from connectors.http.egress import Network


class HttpEndpoint(NamedTuple):
    """Origin of a system, and limits of an exchange with it.

    `deadline_seconds` covers the whole exchange, `byte_cap` the response body. `ca_certificates` are the PEM
    certificates to trust instead of the bundled ones. If `allowed_networks` is not empty, only addresses in it are
    allowed, of those that the hub may connect to at all (`egress`). The hub presents `client_certificate`.
    """

    origin: str
    deadline_seconds: float
    byte_cap: int
    ca_certificates: str | None = None
    allowed_networks: tuple[Network, ...] = ()
    client_certificate: ClientCertificate | None = None


class HttpRequest(NamedTuple):
    """A request to send. `allowed_url` must match the URL as the library is going to send it.

    `before_sending` is called once the connection is open, right before the first byte; an exception stops the request.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    allowed_url: re.Pattern[str]
    before_sending: Callable[[], None] = lambda: None


class HttpResponse(NamedTuple):
    """A response, not decoded. Header names are lower-case; `bytes_received` counts bytes read from the
    connection.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    bytes_received: int


class ExchangeFailure(Exception):
    """No complete response arrived.

    If `may_have_arrived`, the request may have reached the server. If `was_pooled`, a pooled connection was closed
    before anything was read.
    """

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
    """The deadline passed."""


class ConnectionFailed(ExchangeFailure):
    """No connection, or a connection that was cut."""


class AddressRefused(ConnectionFailed):
    """The hub may not connect to the addresses of the host. Nothing was sent."""


class HubExhausted(ExchangeFailure):
    """No connection, because this process or machine has no file descriptor, port, memory or thread left. Nothing was
    sent.
    """


class CertificateRefused(ExchangeFailure):
    """The server ended TLS because of the client certificate, or because there was none."""


class InvalidResponse(ExchangeFailure):
    """A response that is malformed, encoded or too large."""


class UrlNotAllowed(ExchangeFailure):
    """The final URL does not match its template. Nothing was sent."""
