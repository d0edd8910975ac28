"""Times of webhooks (`--guessing`): without guesses of passwords, and while 40 clients guess."""

import http.client
import secrets
import statistics
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.bench.machinery.databases import fresh_database
from tests.bench.machinery.driver import Client, Load, requests
from tests.bench.machinery.servers import USERS, Server, running_hub
from tests.bench.machinery.systems import Systems
from tests.bench.reports.table import table

WEBHOOKS_A_SECOND = 10
GUESSING_CLIENTS = 40
GUESSES_A_SECOND = 200
ROUNDS, SECONDS = 3, 10.0
_TOKEN = secrets.token_hex(16)
_numbers = count(900_000_000, 100_000)

Addresses = Callable[[int], str]
"""The address from which the guess of this number comes."""
WAYS: Mapping[str, Addresses | None] = {
    "quiet": None,
    "one address": lambda _: "203.0.113.9",
    "1,000 addresses": lambda number: f"198.51.{number % 1000 // 250}.{number % 250}",
}


@dataclass(slots=True)
class Times:
    """Milliseconds of the webhooks of one way, over all rounds, and the statuses of the guesses meanwhile."""

    webhooks: list[float] = field(default_factory=list)
    guesses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.webhooks, n=20)[-1]


def measure_guessing(
    kind: str, systems: Systems, folder: Path, rounds: int, seconds: float
) -> dict[str, Times]:
    """Send `result` webhooks at a steady pace, in turns without guesses and with each way of guessing."""
    found = {way: Times() for way in WAYS}
    # The hub takes the address of a guess from the header that a proxy would send.
    variables = {"TRUSTED_PROXIES": "1", "SECURE_COOKIES": "off"}
    with (
        fresh_database(kind, folder) as database,
        running_hub(database, systems, folder, variables=variables) as hub,
    ):
        _send_webhooks(hub, 2.0)
        for _ in range(rounds):
            for way, addresses in WAYS.items():
                begins = time.monotonic()
                with _guessing(hub, addresses, found[way].guesses):
                    found[way].webhooks += _send_webhooks(hub, seconds)
                found[way].seconds += time.monotonic() - begins
    return found


def _send_webhooks(hub: Server, seconds: float) -> list[float]:
    most = int(seconds * WEBHOOKS_A_SECOND)
    load = Load(
        hub.port, "/webhooks/aurora", 1, 0, seconds, next(_numbers), USERS, most=most, respond="result"
    )
    times, client = [], Client(hub.port)
    begins = time.perf_counter()
    with closing(client.link):
        for number, request in enumerate(requests(load)):
            time.sleep(max(0.0, begins + number / WEBHOOKS_A_SECOND - time.perf_counter()))
            client.send(request)
            while (answer := client.receive()) is None:
                pass
            assert answer.startswith(b"HTTP/1.1 200 "), answer[:300]
            times.append(1000 * (time.perf_counter() - client.sent_at))
    return times


@contextmanager
def _guessing(hub: Server, addresses: Addresses | None, statuses: dict[int, int]) -> Iterator[None]:
    """Guess the password of one account within the context, at a steady pace, from these addresses."""
    stop, numbers, seen = threading.Event(), count(), Counter[int]()

    def guess() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=30)
        with closing(connection):
            while addresses is not None and not stop.wait(GUESSING_CLIENTS / GUESSES_A_SECOND):
                number = next(numbers)
                seen[_send_guess(connection, addresses(number), number)] += 1

    threads = [threading.Thread(target=guess) for _ in range(GUESSING_CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        statuses.update(Counter(statuses) + seen)


def _send_guess(connection: http.client.HTTPConnection, address: str, number: int) -> int:
    form = {"username": "admin", "password": f"guess {number}", "csrfmiddlewaretoken": _TOKEN}
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"csrftoken={_TOKEN}",
        "X-Forwarded-For": address,
    }
    connection.request("POST", "/admin/login/", urllib.parse.urlencode(form), headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def show_guessing(kind: str, found: Mapping[str, Times]) -> str:
    """Format a row for each way. A status of 200 is a checked password, 429 a guess over a limit."""
    quiet = found["quiet"]
    rows = [
        [
            way,
            f"{len(times.webhooks)}",
            f"{statistics.median(times.webhooks):.1f}",
            f"{times.p95:.1f}",
            f"{times.p95 / quiet.p95:.2f}",
            f"{sum(times.guesses.values()) / times.seconds:.0f}",
            ", ".join(f"{status}: {number:,}" for status, number in sorted(times.guesses.items())) or "–",
        ]
        for way, times in found.items()
    ]
    heads = ["guesses from", "webhooks", "p50 ms", "p95 ms", "× quiet", "guesses a second", "their answers"]
    return f"## {kind}: webhooks while passwords are guessed\n\n{table(heads, rows)}"
