"""One HTTP exchange, bounded in time and bytes. The only module that knows an HTTP library.

`requests` prepares, the pools of `urllib3` below it carry. There is no `Session` between: it would add
redirects, cookies, netrc and environment proxies, none of which may ever touch these requests.
"""

import http.client
import os
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import BaseHTTPResponse, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError

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
MOST_POOLS = 64

_ONCE = Retry(False)


class _Watched(HTTPConnection):
    response_class = MeteredResponse
    _passage: Passage | None = None

    def _new_conn(self) -> socket.socket:
        passage = current_passage()
        passage.fresh = True
        try:
            sock = open_socket(self._dns_host, self.port, passage)
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error
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


_pools: OrderedDict[tuple[str, str | None], HTTPConnectionPool] = OrderedDict()
_pools_lock = threading.Lock()


def _pool(wire: Wire) -> HTTPConnectionPool:
    key = (wire.origin, wire.ca)
    with _pools_lock:
        pool = _pools.pop(key, None) or _open_pool(wire)
        _pools[key] = pool
        evicted = _pools.popitem(last=False)[1] if len(_pools) > MOST_POOLS else None
    if evicted is not None:
        evicted.close()
    return pool


def _open_pool(wire: Wire) -> HTTPConnectionPool:
    """Connections to one origin, verified by one TLS context: to load the certificates costs 10 ms."""
    parts = urlsplit(wire.origin)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return _Pool(host, parts.port, maxsize=POOL_SIZE)
    cafile = None if wire.ca else DEFAULT_CA_BUNDLE_PATH
    context = ssl.create_default_context(cafile=cafile, cadata=wire.ca)
    return _SecurePool(host, parts.port, maxsize=POOL_SIZE, ssl_context=context, cert_reqs="CERT_REQUIRED")


def _start_afresh() -> None:
    """A child must not speak over its parent's connections."""
    global _pools_lock  # noqa: PLW0603
    _pools_lock = threading.Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_start_afresh)


def transmit(request: Request, wire: Wire) -> Answer:
    """Send one request over a kept or new connection and read its whole answer. Raises Failure only."""
    prepared = _prepare(request)
    if not request.is_caged(prepared.url or ""):
        raise Uncaged("the finished URL is not the one that was meant")
    pool = _pool(wire)
    passage = current.passage = Passage(wire, prepared.path_url)
    deadlines.guard(passage.deadline)
    try:
        response = pool.urlopen(
            request.method,
            passage.target,
            body=request.body,
            headers=request.headers,
            retries=_ONCE,
            redirect=False,
            assert_same_host=False,
            timeout=Timeout(connect=passage.deadline.remaining(), read=wire.seconds),
            preload_content=False,
            decode_content=False,
        )
        return _in_time(_read(response, passage), passage)
    except (HTTPError, http.client.HTTPException, OSError, ValueError, TooLargeError) as error:
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
    return prepared


def _read(raw: BaseHTTPResponse, passage: Passage) -> Answer:
    cap = passage.wire.byte_cap
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
    return Answer(raw.status, headers, body, passage.received)


def _in_time(answer: Answer, passage: Passage) -> Answer:
    """A connection shut by the watchdog looks like the end of an answer that gives no length."""
    if not passage.deadline.end():
        raise Late("no whole answer", reached=True, received=passage.received)
    return answer


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
