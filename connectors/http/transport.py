"""Run one HTTP exchange, bounded in time and bytes. The only module that uses an HTTP library.

`requests` prepares what is not plain already, `urllib3` connects and handles TLS, `http.client` reads the
response. There is no `Session` and no library pool: a session would add redirects, cookies, netrc and
environment proxies, none of which these requests may use, and both cost more CPU than the exchange itself.
"""

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError

from connectors.http.client_certificates import is_certificate_alert
from connectors.http.connection_pool import ConnectionPool
from connectors.http.deadline import Deadline
from connectors.http.dns import AddressNotAllowed
from connectors.http.message_heads import encode_plain_request, encode_request
from connectors.http.message_types import (
    AddressRefused,
    CertificateRefused,
    ConnectionFailed,
    DeadlineExceeded,
    ExchangeFailure,
    HttpEndpoint,
    HttpRequest,
    HttpResponse,
    HubExhausted,
    InvalidResponse,
    UrlNotAllowed,
)
from connectors.http.resource_shortage import SHORTAGE_REASON, is_resource_shortage
from connectors.http.response_reader import (
    ExchangeState,
    ResponseTooLarge,
    open_socket,
    receive_response,
)

_PORTS = {"http": 80, "https": 443}


class _WatchedConnection(HTTPConnection):
    """Connection that opens its socket by our rules and is guarded by the deadline of the exchange that uses
    it.
    """

    state: ExchangeState

    def prepare_socket(self, state: ExchangeState) -> socket.socket:
        """Return the connected and guarded socket, opened if it is not open yet. Raises OSError and HTTPError."""
        self.state = state
        if self.sock is None:
            state.is_new_connection = True
            self.connect()
        # Set before the first byte leaves: a later failure cannot tell whether the request arrived.
        state.may_have_arrived = True
        sock: socket.socket = self.sock
        sock.settimeout(state.endpoint.deadline_seconds)
        return sock

    def _new_conn(self) -> socket.socket:
        try:
            sock = open_socket(self._dns_host, self.port, self.state)
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error
        self.state.deadline.watch_socket(sock)
        return sock


class _WatchedTlsConnection(_WatchedConnection, HTTPSConnection):
    pass


def _connection_factory(endpoint: HttpEndpoint) -> Callable[[], _WatchedConnection]:
    """Return a function that opens connections to one origin. They share one TLS context: loading the
    certificates takes 10 ms.
    """
    parts = urlsplit(endpoint.origin)
    host = parts.hostname or ""
    # Always a port: without one, `http.client` takes the end of an IPv6 address for it.
    port = parts.port if parts.port is not None else _PORTS[parts.scheme]
    if parts.scheme == "http":
        return partial(_WatchedConnection, host, port)
    return partial(
        _WatchedTlsConnection,
        host,
        port,
        ssl_context=make_tls_context(endpoint),
        cert_reqs="CERT_REQUIRED",
    )


def make_tls_context(endpoint: HttpEndpoint) -> ssl.SSLContext:
    """Make the TLS context of an origin: it trusts the connection's own certificates, else the bundled
    authorities, and presents the client certificate if there is one. Raises OSError.
    """
    cafile = None if endpoint.ca_certificates else DEFAULT_CA_BUNDLE_PATH
    context = ssl.create_default_context(cafile=cafile, cadata=endpoint.ca_certificates)
    if endpoint.client_certificate is not None:
        endpoint.client_certificate.load_into(context)
    return context


_pool = ConnectionPool(_connection_factory)


def transmit_request(request: HttpRequest, endpoint: HttpEndpoint) -> HttpResponse:
    """Send one request over a pooled or new connection and read the complete response. Raises ExchangeFailure,
    and what `before_sending` raises.

    If this process lacks file descriptors, its idle connections are closed for those who try again.
    """
    try:
        return _transmit(request, endpoint)
    except HubExhausted:
        _pool.close_idle()
        raise


def _transmit(request: HttpRequest, endpoint: HttpEndpoint) -> HttpResponse:
    request, encoded = _encode_request(request, endpoint.origin)
    try:
        connection = _pool.acquire_connection(endpoint)
    except OSError as error:
        # The certificates cannot be loaded.
        raise _unopened_failure([error]) from None
    state = ExchangeState(endpoint, Deadline(endpoint.deadline_seconds))
    is_reusable = False
    try:
        with state.deadline.watch_exchange(connection.sock):
            answer, leaves_open = _run_exchange(connection, state, request, encoded)
        # Not before the watch has ended in time: another exchange may take the connection then.
        is_reusable = leaves_open
    except (HTTPError, http.client.HTTPException, OSError, ValueError, ResponseTooLarge) as error:
        raise _translate_exception(error, state) from None
    finally:
        if is_reusable:
            _pool.return_connection(endpoint, connection)
        else:
            connection.close()
    return answer


def _encode_request(request: HttpRequest, origin: str) -> tuple[HttpRequest, bytes]:
    """Return the request as `requests` would send it, and its bytes. Raises UrlNotAllowed."""
    encoded = encode_plain_request(request, origin)
    if encoded is None:
        request = prepare_with_requests(request)
        try:
            encoded = encode_request(request, origin)
        except UnicodeEncodeError:
            raise UrlNotAllowed("the request contains characters that cannot be sent") from None
    # Checked as it will be sent, since `requests` may have rewritten it.
    if not (request.allowed_url.fullmatch(request.url) and request.url.startswith(f"{origin}/")):
        raise UrlNotAllowed("the final URL differs from the intended one")
    return request, encoded


def prepare_with_requests(request: HttpRequest) -> HttpRequest:
    """Prepare method, URL and headers with `requests`, without cookies, authentication hooks or a guessed content type.
    Raises UrlNotAllowed if it refuses them.
    """
    made = requests.PreparedRequest()
    try:
        made.prepare_method(request.method)
        made.prepare_url(request.url, None)
        made.prepare_headers(request.headers)
    except (requests.RequestException, ValueError):
        raise UrlNotAllowed("the request contains characters that cannot be sent") from None
    if not made.method or not made.method.isalpha() or not made.url:
        raise UrlNotAllowed("the request contains characters that cannot be sent")
    headers = {str(name): str(value) for name, value in made.headers.items()}
    return request._replace(method=made.method, url=made.url, headers=headers)


def _run_exchange(
    connection: _WatchedConnection, state: ExchangeState, request: HttpRequest, encoded: bytes
) -> tuple[HttpResponse, bool]:
    """Send a request over an open connection. Returns the response, and True if the connection can be reused."""
    sock = connection.prepare_socket(state)
    # After everything that takes time: looking up the name, connecting, TLS.
    request.before_sending()
    try:
        sock.sendall(encoded)
    except (BrokenPipeError, ConnectionResetError):
        # A server that responds and closes before it has read the whole request has responded all the same.
        pass
    except ssl.SSLError as error:
        # The same over TLS. A server that refuses the client certificate closes with an alert, which says so.
        if error.errno != ssl.SSL_ERROR_SYSCALL:
            raise
    return receive_response(sock, state, request.method)


def _translate_exception(error: Exception, state: ExchangeState) -> ExchangeFailure:
    """Translate an exception of a library into a failure. Its text may contain the URL and is dropped."""
    facts: dict[str, Any] = {
        "may_have_arrived": state.may_have_arrived,
        "bytes_received": state.bytes_received,
    }
    causes = tuple(_exception_chain(error))
    if state.deadline.has_passed() or any(isinstance(cause, TimeoutError) for cause in causes):
        return DeadlineExceeded("no response" if not state.bytes_received else "incomplete response", **facts)
    if isinstance(error, ResponseTooLarge):
        return InvalidResponse("the response is too large", **facts)
    if any(is_certificate_alert(cause) for cause in causes):
        return _certificate_failure(state, facts)
    if any(_is_malformed(cause) for cause in causes):
        return InvalidResponse("the response is not HTTP", **facts)
    if state.may_have_arrived:
        was_pooled = not state.is_new_connection and not state.bytes_received
        return ConnectionFailed("the connection was cut", was_pooled=was_pooled, **facts)
    return _unopened_failure(causes)


def _unopened_failure(causes: Sequence[BaseException]) -> ExchangeFailure:
    """Return the failure for a connection that was not opened: of the hub if it lacks what a connection needs."""
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return ConnectionFailed("the certificate is not trusted")
    if any(is_resource_shortage(cause) for cause in causes):
        return HubExhausted(SHORTAGE_REASON)
    if any(isinstance(cause, AddressNotAllowed) for cause in causes):
        return AddressRefused("no connection, because the hub may not contact this address")
    return ConnectionFailed("no connection")


def _certificate_failure(state: ExchangeState, facts: Mapping[str, Any]) -> CertificateRefused:
    """Return the failure for a refused or missing client certificate. On a new connection no request has been handled:
    in TLS 1.3 it is already on its way, but the server verifies the certificate first.
    """
    may_have_arrived = state.may_have_arrived and not (state.is_new_connection and not state.bytes_received)
    reason = (
        "the system requires a client certificate"
        if state.endpoint.client_certificate is None
        else "the system refused the client certificate"
    )
    return CertificateRefused(reason, **{**facts, "may_have_arrived": may_have_arrived})


def _is_malformed(cause: BaseException) -> bool:
    # A response that was cut is a connection failure, not a malformed response.
    cut = isinstance(cause, http.client.IncompleteRead | ConnectionError)
    return isinstance(cause, http.client.HTTPException) and not cut


def _exception_chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
