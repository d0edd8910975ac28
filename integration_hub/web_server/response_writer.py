"""Stands in for a client's socket while the application responds: a client that reads slowly holds no thread."""

import select
import socket
import threading
import time
from typing import Any

# What is kept of a response that the client does not take. All pages and static files are smaller; downloads are not.
MAX_UNSENT = 512 * 1024
# How long a thread waits until the client of a long download has taken half of that: 17 kB a second.
WAIT_SECONDS = 15.0


class SlowClient(OSError):
    """A client takes a long response too slowly, or too many such clients do."""


class ResponseWriter:
    """Sends what the client takes at once, and keeps the rest in `unsent` for the loop.

    `waiters`: held by a thread while it waits for the client of a response longer than MAX_UNSENT.
    """

    def __init__(self, sock: socket.socket, waiters: threading.Semaphore) -> None:
        self.unsent = bytearray()
        self._sock = sock
        self._waiters = waiters

    def sendall(self, data: bytes) -> None:
        """Send or keep a piece of the response. Raises SlowClient if the client takes a long one too slowly."""
        sent = 0 if self.unsent else self._send(data)
        self.unsent += memoryview(data)[sent:]
        if len(self.unsent) > MAX_UNSENT:
            self._wait_for_client()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def _wait_for_client(self) -> None:
        if not self._waiters.acquire(blocking=False):
            raise SlowClient("too many clients take long responses slowly")
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            poll = select.poll()
            poll.register(self._sock, select.POLLOUT)
            while len(self.unsent) > MAX_UNSENT // 2:
                left = deadline - time.monotonic()
                if left <= 0 or not poll.poll(left * 1_000):
                    raise SlowClient("the client takes a long response too slowly")
                del self.unsent[: self._send(self.unsent)]
        finally:
            self._waiters.release()

    def __getattr__(self, name: str) -> Any:
        """Everything but sending is done by the socket itself."""
        return getattr(self._sock, name)
