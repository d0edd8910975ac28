"""The loop of a web process: it accepts connections, reads what they bring, and refuses invalid requests.

It never waits for one client. A complete request goes to a thread, and comes back with `end_response`.
"""

import errno
import logging
import selectors
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from django.conf import settings
from gunicorn.workers.gthread import ThreadWorker

from integration_hub.web_server.client_connection import ClientConnection, ConnectionPhase
from integration_hub.web_server.probe_responses import build_probe_response
from integration_hub.web_server.refusal_counts import count_refusal
from integration_hub.web_server.refusals import RefusedRequest, build_response, slow_request
from integration_hub.web_server.request_reader import BodySender, RequestReader
from sync.metrics.process_metrics import count_unread_request

logger = logging.getLogger("hub.server")

# Bodies above the usual size of a webhook that may be in memory at once: long forms, and webhooks with many events.
# They count from their beginning to the end of their response, because they may wait long for a thread.
MAX_LARGE_BODIES = 16
# Of these, how many one address may have, however many connections it opens.
MAX_LARGE_BODIES_OF_ADDRESS = 2
# Bytes of responses that clients have not taken yet, of all connections together.
MAX_UNSENT_OF_ALL = 32 * 1024 * 1024


class ConnectionLoop(ThreadWorker):  # type: ignore[misc]
    """The part of the worker that runs in the loop. `waiting` holds the connections that no thread has, `_large` those
    with a large body that a thread has, or will have.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.waiting: set[ClientConnection] = set()
        self._large: set[ClientConnection] = set()
        self._permissions = ThreadPoolExecutor(1, "large-bodies")

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection. Where there are too many, the one that has waited longest is closed."""
        if self.nr_conns >= self.worker_connections - 1:
            self._drop_longest_waiting()
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._drop_longest_waiting()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        sock.setblocking(False)
        connection = ClientConnection(self.cfg, sock, client, listener.getsockname(), time.monotonic())
        self.wait_for(connection)
        # Mostly the request is there already.
        self._read_available(connection, sock)

    def wait_for(self, connection: ClientConnection) -> None:
        """Let the loop read a connection whenever bytes arrive on it."""
        self.waiting.add(connection)
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self._read_available, connection))

    def _stop_waiting(self, connection: ClientConnection) -> None:
        self.waiting.discard(connection)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(connection.sock)

    def close(self, connection: ClientConnection) -> None:
        """Close a connection at once."""
        self._stop_waiting(connection)
        self.nr_conns -= 1
        connection.close()

    def _read_available(self, connection: ClientConnection, sock: socket.socket) -> None:
        """Read what a connection has brought, in the loop."""
        if connection not in self.waiting:
            return  # closed since the poller reported it
        try:
            data = sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            self.close(connection)
            return
        if connection.phase is ConnectionPhase.LINGERING:
            if not data:
                self.close(connection)
            return
        if data:
            self._receive_data(connection, data)
        elif connection.phase is ConnectionPhase.READING:
            self._refuse_request(connection, RefusedRequest(reason="cut off"))
        else:
            self.close(connection)

    def _receive_data(self, connection: ClientConnection, data: bytes) -> None:
        reader = connection.reader
        try:
            connection.receive(data, time.monotonic())
            if reader.is_large and connection.sender is None:
                connection.sender = reader.sender
                self._limit_large_bodies(reader.sender)
                self._ask_for_permission(connection, reader.sender)
                return
        except RefusedRequest as refusal:
            self._refuse_request(connection, refusal)
            return
        self._proceed(connection)

    def _proceed(self, connection: ClientConnection) -> None:
        """Pass a complete request to a thread. Otherwise tell a client that waits for it to send the body."""
        reader = connection.reader
        if reader.is_complete and (response := build_probe_response(reader, is_stopping=not self.alive)):
            self._send_last(connection, response)
        elif reader.is_complete:
            self._stop_waiting(connection)
            if reader.is_large:
                self._large.add(connection)
            self.enqueue_req(connection)
        elif reader.take_expectation():
            with suppress(OSError):
                connection.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _limit_large_bodies(self, sender: BodySender) -> None:
        """Raise RefusedRequest if there are too many large bodies, of all clients or of this one's address."""
        addresses = [
            connection.sender.address
            for connection in self._large | self.waiting
            if connection.sender is not None and connection.holds_large_body
        ]
        if len(addresses) > MAX_LARGE_BODIES:
            raise RefusedRequest(settings.UNAVAILABLE_STATUS, "too many large bodies", "storage-unavailable")
        if addresses.count(sender.address) > MAX_LARGE_BODIES_OF_ADDRESS:
            raise RefusedRequest(429, "too many large bodies of one address", "too-many-requests")

    def _ask_for_permission(self, connection: ClientConnection, sender: BodySender) -> None:
        """Read no more of a large body until a thread has looked in the database whether its sender may send it."""
        # Imported here, because gunicorn imports this module before Django is set up.
        from integration_hub.web_server.large_bodies import may_send_large_body

        self.poller.unregister(connection.sock)
        asked = self._permissions.submit(may_send_large_body, sender)
        reader = connection.reader
        asked.add_done_callback(lambda _: self.method_queue.defer(self._continue, connection, reader, asked))

    def _continue(
        self, connection: ClientConnection, reader: RequestReader, permission: Future[bool]
    ) -> None:
        """Read the rest of a large body, or let the application refuse it."""
        if connection not in self.waiting or connection.reader is not reader:
            return  # closed since
        self._stop_waiting(connection)
        self.wait_for(connection)
        if permission.exception() is not None:
            reason = f"no permission for a large body: {type(permission.exception()).__name__}"
            refusal = RefusedRequest(settings.UNAVAILABLE_STATUS, reason, "storage-unavailable")
            self._refuse_request(connection, refusal)
            return
        if not permission.result():
            reader.refuse_large_body()
        self._proceed(connection)

    def _refuse_request(self, connection: ClientConnection, refusal: RefusedRequest) -> None:
        """Send the refusal of a request and close its connection. Bytes that the client does not take at once are
        lost.
        """
        address = connection.client[0] if isinstance(connection.client, tuple) else None
        where = address or "a local client"
        logger.info("refused a request from %s: %s %s", where, refusal.status, refusal.reason)
        count_refusal(refusal.code, address, refusal.status)
        count_unread_request(refusal.code)
        self._send_last(connection, build_response(refusal, without_body=connection.reader.is_head))

    def _send_last(self, connection: ClientConnection, response: bytes) -> None:
        """Send a response of the loop itself, and close the connection once the client has it."""
        with suppress(OSError):
            connection.sock.send(response)
        connection.linger(time.monotonic())

    def end_response(self, connection: ClientConnection) -> None:
        """Send what is left of a response, then wait for the next request, or close the connection."""
        self._large.discard(connection)
        if connection.unsent:
            connection.send_rest(time.monotonic())
            self.waiting.add(connection)
            self.poller.register(
                connection.sock, selectors.EVENT_WRITE, partial(self._write_unsent, connection)
            )
            self._limit_unsent()
        elif connection.keeps_open:
            self.expect_next(connection)
        elif connection.reader.is_cut_off or connection.reader.buffer:
            connection.linger(time.monotonic())
            self.wait_for(connection)
        else:
            self.close(connection)

    def _write_unsent(self, connection: ClientConnection, sock: socket.socket) -> None:
        """Send what a client takes now of the rest of its response, in the loop."""
        if connection not in self.waiting:
            return  # closed since the poller reported it
        try:
            del connection.unsent[: sock.send(connection.unsent)]
        except BlockingIOError:
            return
        except OSError:
            self.close(connection)
            return
        if not connection.unsent:
            self._stop_waiting(connection)
            self.end_response(connection)

    def _limit_unsent(self) -> None:
        """Close the connections that have been sending longest until memory is below the limit."""
        sending = [connection for connection in self.waiting if connection.phase is ConnectionPhase.SENDING]
        total = sum(len(connection.unsent) for connection in sending)
        for connection in sorted(sending, key=lambda connection: connection.since):
            if total <= MAX_UNSENT_OF_ALL:
                return
            total -= len(connection.unsent)
            self.close(connection)

    def expect_next(self, connection: ClientConnection) -> None:
        """Wait for the next request of a connection, which may have come already."""
        rest = bytes(connection.reader.buffer)
        connection.expect_request(time.monotonic(), self.cfg.keepalive)
        self.wait_for(connection)
        if rest:
            self._receive_data(connection, rest)

    def end_late(self, connection: ClientConnection) -> None:
        """Close a connection whose time is over, with an answer if a request has begun."""
        if connection.phase is ConnectionPhase.READING:
            self._refuse_request(connection, slow_request())
        else:
            self.close(connection)

    def _drop_longest_waiting(self) -> None:
        if self.waiting:
            self.close(min(self.waiting, key=lambda connection: connection.since))
