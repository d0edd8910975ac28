"""A client that sends bytes as they are, and what is wrong with the answer."""

import json
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

from config_schema.codes.codes import CATALOGUE
from tests.support.http.machine_answers import MAX_ANSWER_BYTES
from tests.support.processes.hub_processes import RunningHub
from tests.web_server.raw_requests.case import MARK, Case

WAIT_SECONDS = 4.0
ANSWERED_WITHIN = 1.0
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class _Received:
    """What an `HTTPResponse` takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._file = BytesIO(data)

    def makefile(self, _: str) -> BytesIO:
        return self._file


def exchange(port: int, data: bytes, *, ends: bool = False) -> bytes:
    """Send bytes over a new connection. Returns everything that was received until the server closed it."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as link:
        try:
            link.sendall(data)
            if ends:
                link.shutdown(socket.SHUT_WR)
            while piece := link.recv(65_536):
                received += piece
        except ConnectionError:
            pass  # what came before counts
    return received


def open_link(port: int, data: bytes, address: str = "127.0.0.1") -> socket.socket:
    """Send bytes over a new connection from an address of this machine."""
    link = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS, source_address=(address, 0))
    link.sendall(data)
    return link


def read_answer(received: bytes, method: str = "POST") -> tuple[int, Any, bytes]:
    """Return status, headers and body of the first answer."""
    answer = HTTPResponse(_Received(received), method=method)  # type: ignore[arg-type]
    answer.begin()
    return answer.status, answer.headers, answer.read()


def seconds_of(hub: RunningHub, request: bytes) -> float:
    """Send a request that must be answered 200; infinity if it is not answered in four seconds."""
    began = time.monotonic()
    try:
        assert read_answer(exchange(hub.port, request))[0] == 200
    except TimeoutError:
        return float("inf")
    return time.monotonic() - began


def count_events(hub: RunningHub) -> int:
    [[count]] = hub.rows("SELECT count(*) FROM webhooks_event")
    return int(count)


def find_faults(hub: RunningHub, case: Case) -> Iterator[str]:
    """Send a raw request and yield what is wrong with the answer and with what was stored."""
    before = count_events(hub)
    try:
        received = exchange(hub.port, case.data, ends=case.ends)
    except TimeoutError:
        yield "no answer in time"
        return
    if count_events(hub) - before != case.stores:
        yield f"stored {count_events(hub) - before} events"
    if not case.statuses:
        if received:
            yield "answered"
        return
    if not received:
        yield "not answered"
        return
    yield from _find_faults_of_answer(case, received)


def _find_faults_of_answer(case: Case, received: bytes) -> Iterator[str]:
    status, headers, body = read_answer(received)
    if status not in case.statuses:
        yield f"status {status}"
    if MARK in received:
        yield "repeats the request"
    if len(body) > MAX_ANSWER_BYTES:
        yield "a large answer"
    if headers["Content-Type"] != f"application/{'problem+json' if status >= 400 else 'json'}":
        yield f"type {headers['Content-Type']}"
        return
    if (headers["Cache-Control"], headers["X-Content-Type-Options"]) != ("no-store", "nosniff"):
        yield "without its security headers"
    document = json.loads(body)
    if status >= 400 and (document["status"] != status or document["code"] not in CATALOGUE):
        yield f"says {document}"
    if status == 405 and not headers["Allow"]:
        yield "does not say which methods are allowed"
