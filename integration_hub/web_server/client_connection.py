"""One connection of a client: what it waits for, and until when."""

import socket
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from integration_hub.web_server.request_reader import BodySender, RequestReader

# A request has to arrive in whole within this time. After GRACE_SECONDS, it must have come with MIN_RATE on average.
REQUEST_SECONDS = 10.0
GRACE_SECONDS = 5.0
MIN_RATE = 10
# How long the server reads on after a refusal, so that the client gets to see it.
LINGER_SECONDS = 2.0
# How long a client may take for what it did not take at once of a response.
SENDING_SECONDS = 15.0


class ConnectionPhase(Enum):
    """State of a connection that no thread has: between requests, within a request, within a response, or closing."""

    IDLE = auto()
    READING = auto()
    SENDING = auto()
    LINGERING = auto()


class ClientConnection:
    """A connection of a client, and the request that arrives on it. gunicorn reads `sock`, `client` and `server`.

    `unsent`: the rest of a response, which the loop sends. `keeps_open`: a further request may follow it.
    `sender`: who sends the large body that arrives, or None before one has begun.
    """

    def __init__(self, config: Any, sock: socket.socket, client: Any, server: Any, now: float) -> None:
        self.config = config
        self.sock = sock
        self.client = client
        self.server = server
        self.unsent = bytearray()
        self.keeps_open = False
        self.expect_request(now, REQUEST_SECONDS)

    def expect_request(self, now: float, idle_seconds: float) -> None:
        """Wait for the next request."""
        self.reader = RequestReader(self.config, self.client)
        self.sender: BodySender | None = None
        self.phase = ConnectionPhase.IDLE
        self.since = now
        self.deadline = now + idle_seconds

    def receive(self, data: bytes, now: float) -> None:
        """Pass received bytes to the request reader. Raises RefusedRequest if the request is not valid."""
        if self.phase is ConnectionPhase.IDLE:
            self.phase = ConnectionPhase.READING
            self.since = now
            self.deadline = now + REQUEST_SECONDS
        self.reader.feed(data)

    def send_rest(self, now: float) -> None:
        """Send what is left in `unsent` before anything else is done with the connection."""
        self.phase = ConnectionPhase.SENDING
        self.since = now
        self.deadline = now + SENDING_SECONDS

    def linger(self, now: float) -> None:
        """Send nothing more, and discard for LINGER_SECONDS what the client still sends."""
        self.phase = ConnectionPhase.LINGERING
        self.deadline = now + LINGER_SECONDS
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    @property
    def holds_large_body(self) -> bool:
        """True if the memory of a large body is taken, from its beginning to the end of its response."""
        return self.phase is ConnectionPhase.READING and self.reader.is_large

    def is_late(self, now: float) -> bool:
        """True if the deadline of the connection has passed."""
        if now >= self.deadline:
            return True
        elapsed = now - self.since
        return (
            self.phase is ConnectionPhase.READING
            and elapsed > GRACE_SECONDS
            and self.reader.received < MIN_RATE * elapsed
        )

    def close(self) -> None:
        with suppress(OSError):
            self.sock.close()
