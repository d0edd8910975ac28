"""One HTTP exchange, bounded in time and bytes. The only module that knows an HTTP library.

`requests` prepares what is not plain already, `urllib3` connects and makes TLS, `http.client` reads the answer. There
is neither a `Session` nor a pool of theirs between: a session would add redirects, cookies, netrc and environment
proxies, none of which may ever touch these requests, and both cost more than the exchange itself.
"""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError

from sync.connectors.http import deadline as deadlines
from sync.connectors.http.connection_pool import Keeper
from sync.connectors.http.messages import Answer, Broken, Failure, Late, Request, Unbelievable, Uncaged, Wire
from sync.connectors.http.plain_heads import head, header_lines, is_plain
from sync.connectors.http.response_reader import Passage, TooLargeError, open_socket, receive


class _Watched(HTTPConnection):
    """A connection whose socket is opened by our rules, and watched by the deadline of the exchange that uses it."""

    passage: Passage

    def ready(self, passage: Passage) -> socket.socket:
        """The socket, connected now unless it is, and watched. OSError and HTTPError where it cannot be."""
        self.passage = passage
        if self.sock is None:
            passage.fresh = True
            self.connect()
        else:
            passage.deadline.watch(self.sock)
        passage.reached = True
        sock: socket.socket = self.sock
        sock.settimeout(passage.wire.seconds)
        return sock

    def _new_conn(self) -> socket.socket:
        try:
            sock = open_socket(self._dns_host, self.port, self.passage)
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error
        self.passage.deadline.watch(sock)
        return sock


class _WatchedSecure(_Watched, HTTPSConnection):
    pass


def _connector(wire: Wire) -> Callable[[], _Watched]:
    """What opens connections to one origin, verified by one TLS context: to load the certificates costs 10 ms."""
    parts = urlsplit(wire.origin)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return partial(_Watched, host, parts.port)
    return partial(_WatchedSecure, host, parts.port, ssl_context=trusting(wire), cert_reqs="CERT_REQUIRED")


def trusting(wire: Wire) -> ssl.SSLContext:
    """What verifies the certificates of an origin: the bundled authorities, or the connection's own in their place."""
    cafile = None if wire.ca else DEFAULT_CA_BUNDLE_PATH
    return ssl.create_default_context(cafile=cafile, cadata=wire.ca)


_keeper = Keeper(_connector)


def transmit(request: Request, wire: Wire) -> Answer:
    """Send one request over a kept or new connection and read its whole answer. Raises Failure only."""
    method, url, lines = _prepare(request)
    if not (request.is_caged(url) and url.startswith(f"{wire.origin}/")):
        raise Uncaged("the finished URL is not the one that was meant")
    start = _head(request, wire, method, url, lines)
    kept = _keeper.to(wire)
    passage = Passage(wire)
    deadlines.guard(passage.deadline)
    connection = kept.take()
    is_reusable = False
    try:
        answer, is_reusable = _exchange(connection, passage, method, start + (request.body or b""))
    except (HTTPError, http.client.HTTPException, OSError, ValueError, TooLargeError) as error:
        raise _failure(error, passage) from None
    finally:
        # The watch ends before another exchange may take the connection.
        if passage.deadline.end() and is_reusable:
            kept.give(connection)
        else:
            connection.close()
    return answer


def _prepare(request: Request) -> tuple[str, str, str]:
    """Method, URL and header lines as `requests` would send them: no cookies, no authentication hook, no guess at
    a type."""
    lines = header_lines(request.headers.items())
    if is_plain(request.method, request.url, request.headers, lines):
        return request.method, request.url, lines
    return prepared(request)


def prepared(request: Request) -> tuple[str, str, str]:
    """What `requests` makes of method, URL and headers. Uncaged where it refuses them."""
    made = requests.PreparedRequest()
    try:
        made.prepare_method(request.method)
        made.prepare_url(request.url, None)
        made.prepare_headers(request.headers)
    except (requests.RequestException, ValueError):
        raise Uncaged("the request cannot be sent as it is") from None
    if not made.method or not made.method.isalpha() or not made.url:
        raise Uncaged("the request cannot be sent as it is")
    return (
        made.method,
        made.url,
        header_lines((str(name), str(value)) for name, value in made.headers.items()),
    )


def _head(request: Request, wire: Wire, method: str, url: str, lines: str) -> bytes:
    scheme, _, host = wire.origin.partition("://")
    host = host.removesuffix(":443" if scheme == "https" else ":80")
    try:
        return head(method, url[len(wire.origin) :], host, lines, request.body)
    except UnicodeEncodeError:
        raise Uncaged("the request cannot be sent as it is") from None


def _exchange(connection: _Watched, passage: Passage, method: str, request: bytes) -> tuple[Answer, bool]:
    """The answer, and whether the connection may be kept."""
    sock = connection.ready(passage)
    # One that answers before it has read everything, and closes, has answered all the same.
    with contextlib.suppress(BrokenPipeError):
        sock.sendall(request)
    answer, leaves_open = receive(sock, passage, method)
    # A connection shut by the watchdog looks like the end of an answer that gives no length.
    if not passage.deadline.end():
        raise Late("no whole answer", reached=True, received=passage.received)
    return answer, leaves_open


def _failure(error: Exception, passage: Passage) -> Failure:
    """Which kind of failure a library's exception is. Its own text may hold the URL and is dropped."""
    facts: dict[str, Any] = {"reached": passage.reached, "received": passage.received}
    causes = tuple(_causes(error))
    if passage.deadline.passed() or any(isinstance(cause, TimeoutError) for cause in causes):
        return Late("no answer" if not passage.received else "no whole answer", **facts)
    if isinstance(error, TooLargeError):
        return Unbelievable("the answer is too large", **facts)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return Broken("the certificate is not trusted", **facts)
    if any(_is_malformed(cause) for cause in causes):
        return Unbelievable("the answer is not HTTP", **facts)
    stale = passage.reached and not passage.fresh and not passage.received
    return Broken("the connection was cut" if passage.reached else "no connection", stale=stale, **facts)


def _is_malformed(cause: BaseException) -> bool:
    cut = isinstance(cause, http.client.IncompleteRead | ConnectionError)
    return isinstance(cause, http.client.HTTPException) and not cut


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
