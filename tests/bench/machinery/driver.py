"""A load generator in a separate process: N clients in a closed loop over persistent connections, one epoll loop.

It prints `warm` when the steady part begins and one line of JSON when it has ended; the reader measures the servers
between the two lines. Requests are signed before anything is sent.
"""

import base64
import hashlib
import hmac
import json
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle

from tests.bench.machinery.stand_ins import user_name

SIGNING_SECRET = "whsec_YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2g="


@dataclass(frozen=True, slots=True)
class Load:
    """The load to send. Times in seconds.

    The steady part ends once there are `least` answers, after at most four times its length. `first` numbers the first
    event; numbers name the event and, modulo `users`, the person. `most` requests are prepared; they are sent again if
    `repeats` is set, and otherwise the load ends with them.
    """

    port: int
    path: str
    clients: int
    warm_up: float
    seconds: float
    first: int
    users: int
    most: int
    least: int = 100
    respond: str = ""
    repeats: bool = False


@dataclass(slots=True)
class Outcome:
    """The result of the steady part; `sent` includes the warm-up."""

    completed: int = 0
    seconds: float = 0.0
    sent: int = 0
    p50: float = 0.0
    p99: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    first_bad: str = ""


def requests(load: Load) -> list[bytes]:
    """Return the prepared requests as bytes."""
    key, seconds = base64.b64decode(SIGNING_SECRET.removeprefix("whsec_")), str(int(time.time()))
    return [_request(load, number, key, seconds) for number in range(load.first, load.first + load.most)]


def _request(load: Load, number: int, key: bytes, seconds: str) -> bytes:
    respond = f',"respond":"{load.respond}"' if load.respond else ""
    body = (
        f'{{"id":"{user_name(number % load.users)}","entityType":"USER","eventType":"UPDATE",'
        f'"timestamp":"2019-01-01T00:00:00Z"{respond}}}'
    ).encode()
    name = f"msg_{number}"
    digest = hmac.digest(key, b".".join([name.encode(), seconds.encode(), body]), hashlib.sha256)
    signature = base64.b64encode(digest).decode()
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nwebhook-id: {name}\r\nwebhook-timestamp: {seconds}\r\n"
        f"webhook-signature: v1,{signature}\r\n\r\n"
    )
    return head.encode() + body


class Client:
    """One connection with at most one open request."""

    def __init__(self, port: int) -> None:
        self.link = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._received = b""

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.link.sendall(request)

    def receive(self) -> bytes | None:
        """Return the complete answer, or None while a part of it is missing."""
        data = self.link.recv(65_536)
        if not data:
            raise ConnectionError("the server closed a kept connection")
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = int(self._received[:end].lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(self._received) < end + 4 + length:
            return None
        answer, self._received = self._received, b""
        return answer


class Driver:
    """The clients of one load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        ready = requests(load)
        self._requests: Iterator[bytes] = cycle(ready) if load.repeats else iter(ready)
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._latencies: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Warm up, print `warm`, measure, and wait for open requests."""
        for _ in range(self._load.clients):
            client = Client(self._load.port)
            self._clients[client.link.fileno()] = client
            self._poll.register(client.link, select.EPOLLIN)
        self._open()
        self._turn(self._load.warm_up)
        self._latencies.clear()
        self._statuses.clear()
        print("warm", flush=True)
        self._outcome.seconds = self._measured()
        self._summarise()
        return self._outcome

    def _measured(self) -> float:
        spent = self._turn(self._load.seconds)
        while self._clients and len(self._latencies) < self._load.least and spent < self._load.seconds * 4:
            spent += self._turn(self._load.seconds / 4)
        return spent

    def _open(self) -> None:
        for client in list(self._clients.values()):
            self._send(client)

    def _send(self, client: Client) -> None:
        """Send the next request. Without one the client is finished: the server may close its connection."""
        request = next(self._requests, None)
        if request is None:
            self._poll.unregister(client.link)
            del self._clients[client.link.fileno()]
            return
        client.send(request)
        self._outcome.sent += 1

    def _turn(self, seconds: float) -> float:
        """Serve all clients for `seconds`, or until all requests are answered. Returns the elapsed seconds."""
        began = time.perf_counter()
        until = began + seconds
        while (now := time.perf_counter()) < until and self._clients:
            for client, answer in self._answers(until - now):
                self._note(client, answer)
                self._send(client)
        return time.perf_counter() - began

    def _answers(self, seconds: float) -> Iterator[tuple[Client, bytes]]:
        for descriptor, _ in self._poll.poll(seconds):
            client = self._clients[descriptor]
            answer = client.receive()
            if answer is not None:
                yield client, answer

    def finish(self) -> None:
        """Read the answers of open requests, so that no server works for a client that has left."""
        self._requests = iter(())
        self._turn(40)

    def _note(self, client: Client, answer: bytes) -> None:
        self._latencies.append(time.perf_counter() - client.sent_at)
        status = answer[9:12].decode()
        self._statuses[status] += 1
        if status[0] != "2" and not self._outcome.first_bad:
            self._outcome.first_bad = answer[-400:].decode(errors="replace")

    def _summarise(self) -> None:
        ordered = sorted(self._latencies) or [0.0]
        self._outcome.completed = len(self._latencies)
        self._outcome.p50 = ordered[len(ordered) // 2]
        self._outcome.p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        self._outcome.statuses = dict(self._statuses)


def main() -> None:
    driver = Driver(Load(**json.loads(sys.argv[1])))
    print(json.dumps(asdict(driver.run())), flush=True)
    driver.finish()


if __name__ == "__main__":
    main()
