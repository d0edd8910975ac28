"""Clients that begin requests and send them byte by byte."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.web_server.raw_requests.case import WEBHOOK, webhook

_HEAD = b"POST /webhooks/nobody HTTP/1.1\r\nHost: localhost\r\nX-Y: "
_UNKNOWN = webhook(line=b"POST /webhooks/nobody HTTP/1.1")
_KNOWN = webhook()
_CHUNKED = webhook("Transfer-Encoding: chunked", body=b"1\r\n{\r\n", length=False)
BODIES = (
    _UNKNOWN[: -len(WEBHOOK)],
    _KNOWN[:-1].replace(b"Content-Length: ", b"Content-Length: 9"),
    _CHUNKED,
)


@dataclass
class SlowClient:
    """One connection. `closed_after` is in seconds, None while it is open."""

    link: socket.socket
    opened_at: float = field(default_factory=time.monotonic)
    closed_after: float | None = None
    received: bytes = b""

    def send_a_byte(self) -> None:
        """Send one more byte and look for an answer."""
        try:
            self.link.send(b"1")
            piece = self.link.recv(4_096)
            self.received += piece
            is_open = bool(piece)
        except BlockingIOError:
            is_open = True
        except OSError:
            is_open = False
        if not is_open:
            self.closed_after = time.monotonic() - self.opened_at
            self.link.close()


def _open(port: int, data: bytes) -> SlowClient:
    link = socket.create_connection(("127.0.0.1", port), timeout=10)
    link.sendall(data)
    link.setblocking(False)
    return SlowClient(link)


@contextmanager
def slow_clients(port: int, heads: int, bodies: int) -> Iterator[list[SlowClient]]:
    """Hold so many unfinished heads and bodies open; each client sends a byte every half second."""
    clients = [_open(port, _HEAD) for _ in range(heads)]
    clients += [_open(port, BODIES[number % len(BODIES)]) for number in range(bodies)]
    stopped = threading.Event()

    def drip() -> None:
        while not stopped.wait(0.5):
            for client in clients:
                if client.closed_after is None:
                    client.send_a_byte()

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield clients
    finally:
        stopped.set()
        thread.join()
        for client in clients:
            client.link.close()
