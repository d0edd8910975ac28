"""The socket side: many keep-alive connections, one thread each, and one send for each answer."""

import contextlib
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sandbox.http.messages import Answer, Request

logger = logging.getLogger(__name__)

MAX_BODY = 1_048_576
"""Bytes; a larger body is refused unread."""

Respond = Callable[[Request], Answer | None]
"""Gives the answer, or None to close the connection without one."""


class Listener(ThreadingHTTPServer):
    """Listens on one address and gives every request to ``respond``.

    ``close_connections`` cuts who is connected.
    """

    request_queue_size = 1024
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], respond: Respond) -> None:
        self.respond = respond
        self.stopping = threading.Event()
        self._connections: set[Any] = set()
        self._connections_lock = threading.Lock()
        super().__init__(address, Connection)

    def server_bind(self) -> None:
        # HTTPServer would look its own name up in DNS here, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        self.stopping.set()
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away is everyday life here: the hub gives up on slow answers.
        if not isinstance(sys.exception(), OSError):
            logger.exception("A request from %s failed", client_address)


class Connection(BaseHTTPRequestHandler):
    """Reads complete requests from one connection, in turn."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120
    server: Listener

    def exchange(self) -> None:
        body = self._read_body()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        request = Request(self.command, path, query, self.headers, body)
        answer = self.server.respond(request)
        if answer is None:
            self.close_connection = True
            cut(self.connection)
        else:
            self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = exchange  # noqa: N815

    def _read_body(self) -> bytes | None:
        """The body; None where it was refused or the client went away half-way."""
        length = self.headers.get("Content-Length", "0")
        refusal = self._refusal(length)
        if refusal:
            self.close_connection = True
            self._send(Answer.of_json(refusal, {"message": refusal.phrase}))
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body

    def _refusal(self, length: str) -> HTTPStatus | None:
        if "Transfer-Encoding" in self.headers:
            return HTTPStatus.LENGTH_REQUIRED
        if not (length.isascii() and length.isdigit()):
            return HTTPStatus.BAD_REQUEST
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if len(length) > 12 or int(length) > MAX_BODY else None

    def _send(self, answer: Answer) -> None:
        head, body = self._head(answer), b"" if self.command == "HEAD" else answer.body
        if answer.drip <= 0:
            self.connection.sendall(head + body)
            return
        self.connection.sendall(head)
        self._drip(answer, body)

    def _drip(self, answer: Answer, body: bytes) -> None:
        released = answer.released or self.server.stopping
        for at in range(len(body)):
            if released.wait(answer.drip):
                self.connection.sendall(body[at:])
                return
            self.connection.sendall(body[at : at + 1])

    def _head(self, answer: Answer) -> bytes:
        lines = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, 'Unknown')}"]
        lines += [f"Date: {formatdate(time.time(), usegmt=True)}", "Server: sandbox"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        if answer.status != HTTPStatus.NO_CONTENT:
            lines += [f"Content-Type: {answer.content_type}", f"Content-Length: {len(answer.body)}"]
        if self.close_connection:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug(format, *args)


def cut(connection: socket.socket) -> None:
    """Close both directions at once, whatever is still under way."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
