"""One HTTP exchange, bounded in time and bytes. The only module that knows an HTTP library.

It speaks through `requests` adapters without a `Session`: a session would add redirects, cookies, netrc and
environment proxies, none of which may ever touch these requests.
"""

import http.client
import os
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from sync.connectors import deadline as deadlines
from sync.connectors.passage import (
    MeteredResponse,
    Passage,
    TooLargeError,
    current,
    current_passage,
    open_socket,
)
from sync.connectors.wire import Answer, Broken, Failure, Late, Request, Unbelievable, Uncaged, Wire

POOL_SIZE = 32
MOST_ADAPTERS = 64


class _Watched(HTTPConnection):
    response_class = MeteredResponse
    _passage: Passage | None = None

    def _new_conn(self) -> socket.socket:
        passage = current_passage()
        passage.fresh = True
        try:
            sock = open_socket(self._dns_host, self.port, passage)
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, "no connection") from error
        passage.deadline.watch(sock)
        return sock

    def connect(self) -> None:
        super().connect()
        current_passage().reached = True

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        passage = self._passage = current_passage()
        if url != passage.target:
            raise Uncaged("the request's target changed on its way")
        if self.sock is not None and not passage.fresh:
            passage.deadline.watch(self.sock)
            passage.reached = True
        super().request(method, url, *args, **kwargs)

    def let_go(self) -> bool:
        """Stop the watch before another exchange may take this connection. False if it has been shut."""
        passage, self._passage = self._passage, None
        return passage is None or passage.deadline.end()


class _WatchedSecure(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and not conn.let_go():
            conn.close()
        super()._put_conn(conn)


class _SecurePool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _WatchedSecure


class _Adapter(HTTPAdapter):
    """Keeps connections to one origin, verified by one TLS context that is loaded once."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=POOL_SIZE)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        if self._context is None:
            return host, {}
        return host, {"ssl_context": self._context, "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The context verifies; loading the certificates again for each connection would cost 10 ms."""


_adapters: OrderedDict[tuple[str, str | None], _Adapter] = OrderedDict()
_adapters_lock = threading.Lock()


def _adapter(wire: Wire) -> _Adapter:
    key = (wire.origin, wire.ca)
    with _adapters_lock:
        adapter = _adapters.pop(key, None) or _Adapter(_tls_context(wire))
        _adapters[key] = adapter
        evicted = _adapters.popitem(last=False)[1] if len(_adapters) > MOST_ADAPTERS else None
    if evicted is not None:
        evicted.close()
    return adapter


def _tls_context(wire: Wire) -> ssl.SSLContext | None:
    if not wire.origin.startswith("https:"):
        return None
    cafile = None if wire.ca else DEFAULT_CA_BUNDLE_PATH
    return ssl.create_default_context(cafile=cafile, cadata=wire.ca)


def _start_afresh() -> None:
    """A child must not speak over its parent's connections."""
    global _adapters_lock  # noqa: PLW0603
    _adapters_lock = threading.Lock()
    _adapters.clear()


os.register_at_fork(after_in_child=_start_afresh)


def transmit(request: Request, wire: Wire) -> Answer:
    """Send one request over a kept or new connection and read its whole answer. Raises Failure only."""
    prepared = _prepare(request)
    if not request.is_caged(prepared.url or ""):
        raise Uncaged("the finished URL is not the one that was meant")
    adapter = _adapter(wire)
    passage = current.passage = Passage(wire, prepared.path_url)
    deadlines.guard(passage.deadline)
    try:
        response = adapter.send(prepared, stream=True, timeout=(passage.deadline.remaining(), wire.seconds))
        return _in_time(_read(response, passage), passage)
    except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        raise _failure(error, passage) from None
    except (OSError, ValueError, TooLargeError) as error:
        raise _failure(error, passage) from None
    finally:
        passage.deadline.end()
        current.passage = None


def _prepare(request: Request) -> requests.PreparedRequest:
    """Prepare only the parts that are wanted: no cookies, no authentication hook, no guess at a type."""
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare_method(request.method)
        prepared.prepare_url(request.url, None)
        prepared.prepare_headers(request.headers)
    except (requests.RequestException, ValueError):
        raise Uncaged("the request cannot be sent as it is") from None
    prepared.body = request.body
    if request.body is not None:
        prepared.headers["Content-Length"] = str(len(request.body))
    return prepared


def _read(response: requests.Response, passage: Passage) -> Answer:
    raw, cap = response.raw, passage.wire.byte_cap
    headers = {name.lower(): value for name, value in raw.headers.items()}
    whole = False
    try:
        if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            raise Unbelievable("the answer is encoded", reached=True, received=passage.received)
        body = raw.read(cap + 1, decode_content=False)
        if len(body) > cap:
            raise TooLargeError
        if raw.length_remaining:
            raise http.client.IncompleteRead(body)
        whole = True
    finally:
        if whole:
            raw.release_conn()
        else:
            raw.close()
    return Answer(response.status_code, headers, body, passage.received)


def _in_time(answer: Answer, passage: Passage) -> Answer:
    """A connection shut by the watchdog looks like the end of an answer that gives no length."""
    if not passage.deadline.end():
        raise Late("no whole answer", reached=True, received=passage.received)
    return answer


def _failure(error: Exception, passage: Passage) -> Failure:
    """Which kind of failure a library's exception is. Its own text may hold the URL and is dropped."""
    facts: dict[str, Any] = {"reached": passage.reached, "received": passage.received}
    causes = tuple(_causes(error))
    if passage.deadline.passed() or any(
        isinstance(cause, requests.Timeout | TimeoutError) for cause in causes
    ):
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
