"""The HTTP server: keep-alive connections with one thread each, and one send call for each response."""

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

from sandbox.http.messages import Request, Response

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_048_576
"""A larger body is refused before it is read."""

Responder = Callable[[Request], Response | None]
"""Returns the response to a request, or None to close the connection without a response."""


class HttpListener(ThreadingHTTPServer):
    """A server that listens on one address and passes every request to ``respond``."""

    request_queue_size = 1024
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], respond: Responder) -> None:
        self.respond = respond
        self.stopping = threading.Event()
        self._connections: set[Any] = set()
        self._connections_lock = threading.Lock()
        super().__init__(address, ClientConnection)

    def server_bind(self) -> None:
        """Bind the socket and set the server's name and port."""
        # HTTPServer would look its own name up in DNS here, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Register a new connection and serve it in a thread of its own."""
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Unregister a connection and close it."""
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Cut all open connections and end the delays of responses that are being dripped."""
        self.stopping.set()
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            cut_connection(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the current exception, unless it comes from the connection."""
        # Clients disconnect often here: the hub stops waiting for slow responses.
        if not isinstance(sys.exception(), OSError):
            logger.exception("A request from %s failed", client_address)


class ClientConnection(BaseHTTPRequestHandler):
    """A connection of a client: reads requests and sends their responses, one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120
    server: HttpListener

    def exchange_message(self) -> None:
        """Read one request and send its response, or cut the connection."""
        body = self._read_body()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        request = Request(self.command, path, query, self.headers, body)
        response = self.server.respond(request)
        if response is None:
            self.close_connection = True
            cut_connection(self.connection)
        else:
            self._send_response(response)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = exchange_message  # noqa: N815

    def _read_body(self) -> bytes | None:
        """Return the body; None if it was refused or the client disconnected before its end."""
        length = self.headers.get("Content-Length", "0")
        refusal = self._find_refusal(length)
        if refusal:
            self.close_connection = True
            self._send_response(Response.from_json(refusal, {"message": refusal.phrase}))
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body

    def _find_refusal(self, length: str) -> HTTPStatus | None:
        """Return the status with which a body of this Content-Length is refused; None if it can be read."""
        if "Transfer-Encoding" in self.headers:
            return HTTPStatus.LENGTH_REQUIRED
        if not (length.isascii() and length.isdigit()):
            return HTTPStatus.BAD_REQUEST
        return (
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE if len(length) > 12 or int(length) > MAX_BODY_BYTES else None
        )

    def _send_response(self, response: Response) -> None:
        head, body = self._format_head(response), b"" if self.command == "HEAD" else response.body
        if response.drip_seconds <= 0:
            self.connection.sendall(head + body)
            return
        self.connection.sendall(head)
        self._drip_body(response, body)

    def _drip_body(self, response: Response, body: bytes) -> None:
        """Send a body byte by byte, and the rest of it at once when the drip is ended."""
        drip_ended = response.drip_ended or self.server.stopping
        for start in range(len(body)):
            if drip_ended.wait(response.drip_seconds):
                self.connection.sendall(body[start:])
                return
            self.connection.sendall(body[start : start + 1])

    def _format_head(self, response: Response) -> bytes:
        lines = [f"HTTP/1.1 {response.status} {responses.get(response.status, 'Unknown')}"]
        lines += [f"Date: {formatdate(time.time(), usegmt=True)}", "Server: sandbox"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        if response.status != HTTPStatus.NO_CONTENT:
            lines += [f"Content-Type: {response.content_type}", f"Content-Length: {len(response.body)}"]
        if self.close_connection:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def log_message(self, format: str, *args: Any) -> None:
        """Log a request at level DEBUG, where the base class writes to stderr."""
        logger.debug(format, *args)


def cut_connection(connection: socket.socket) -> None:
    """Close both directions of a connection at once, even in the middle of a message."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
