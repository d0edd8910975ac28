"""What the costliest queries cost that can be made of the words of the console's own pages (I25)."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SEED = 25
QUERIES_OF_A_PAGE = 60
SHOWN = 5


@dataclass(slots=True)
class HostileQueries:
    """How many queries were sent, those that took most, and those that failed.

    `slowest`: address, seconds of CPU of this process, and seconds. The database of PostgreSQL works outside of this
    process.
    """

    sent: int
    slowest: list[tuple[str, float, float]]
    failed: list[str]


def measure_hostile_queries(client: Any) -> HostileQueries:
    """Send queries of up to 4 KB to every page, with odd values, repeated and unknown words."""
    sent, failed = [], []
    for address in _hostile_addresses(client):
        began, worked = time.perf_counter(), time.process_time()
        answer = client.get(address)
        if answer.streaming:
            answer.getvalue()
        sent.append((address[:200], time.process_time() - worked, time.perf_counter() - began))
        if answer.status_code >= 500:
            failed.append(address)
    slowest = sorted(sent, key=lambda query: max(query[1:]), reverse=True)[:SHOWN]
    return HostileQueries(len(sent), slowest, failed)


def _hostile_addresses(client: Any) -> Iterator[str]:
    from tests.support.hostile.requests import odd_queries, plain_addresses, words_of_page

    chance = random.Random(SEED)
    for address in plain_addresses():
        answer = client.get(address)
        if answer.status_code == 200 and not answer.streaming:
            queries = list(odd_queries(words_of_page(answer.content.decode()), chance, 2 * QUERIES_OF_A_PAGE))
            for query in chance.sample(queries, min(len(queries), QUERIES_OF_A_PAGE)):
                yield f"{address}?{query}"
