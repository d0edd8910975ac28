"""A source under load: many people change, some webhooks are sent more than once, each until it is answered."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

from sandbox.identity import IdentityService
from tests.faults.consistency.checker import Sending
from tests.support.hub import signature_headers
from tests.support.processes.hub_processes import JSON

MAX_ATTEMPTS = 1_000


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook to send. `copy` is 0 for the first of its id."""

    webhook_id: str
    person: str
    mode: str
    copy: int

    @property
    def body(self) -> bytes:
        respond = {"mode": self.mode, "wait": 2000}
        return json.dumps(
            {"id": self.person, "entityType": "USER", "eventType": "UPDATE", "respond": respond}
        ).encode()


def plan(size: int, copies: int, people: Sequence[str], seed: int) -> list[Webhook]:
    """Return `size` webhooks in the order of their sending; `copies` of them repeat earlier ones."""
    chance = random.Random(seed)
    first = [
        Webhook(f"msg_{number}", chance.choice(people), chance.choice(["ack", "result"]), 0)
        for number in range(size - copies)
    ]
    placed: list[tuple[float, Webhook]] = [(float(place), webhook) for place, webhook in enumerate(first)]
    for number in range(copies):
        place = chance.randrange(len(first))
        original = first[place]
        later = place + chance.choice([0.5, chance.uniform(1, 20), chance.uniform(1, size)])
        placed.append((later, Webhook(original.webhook_id, original.person, original.mode, number + 1)))
    return [webhook for _, webhook in sorted(placed, key=lambda pair: pair[0])]


@dataclass
class Driver:
    """A sender that repeats each webhook until it has a final answer. `ports` returns the current ports of the hub."""

    identity: IdentityService
    ports: Callable[[], Sequence[int]]
    sendings: list[Sending] = field(default_factory=list)
    _changed: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _people: dict[str, threading.Lock] = field(default_factory=dict)

    def add_people(self, people: Sequence[str]) -> None:
        for person in people:
            self._people[person] = threading.Lock()
            user = {"id": person, "username": person.lower(), "emails": [_email(person, 0)]}
            self.identity.directory.create_record("users", user)

    def run(self, webhooks: Sequence[Webhook], clients: int) -> None:
        with ThreadPoolExecutor(clients) as threads:
            list(threads.map(self.deliver, webhooks))

    def deliver(self, webhook: Webhook) -> None:
        """Change the person unless a copy did so before, then send the webhook until it has a final answer."""
        self._change(webhook.webhook_id, webhook.person)
        for _ in range(MAX_ATTEMPTS):
            if self._send(webhook).is_final:
                return
            time.sleep(random.uniform(0.02, 0.2))
        raise AssertionError(f"{webhook.webhook_id} was never answered")

    def _change(self, webhook_id: str, person: str) -> None:
        """Set the person's address to one with the next version, once for each webhook id."""
        with self._people[person]:
            if webhook_id not in self._changed:
                emails = [_email(person, next(self._numbers))]
                self.identity.directory.update_record("users", person, {"emails": emails}, replaces=False)
                self._changed.add(webhook_id)

    def _send(self, webhook: Webhook) -> Sending:
        sent_at = time.monotonic()
        status, _ = self._post("aurora", webhook.body, webhook.webhook_id)
        sending = Sending(webhook.webhook_id, webhook.person, sent_at, status)
        self.sendings.append(sending)
        return sending

    def _post(self, source: str, body: bytes, webhook_id: str) -> tuple[int | None, bytes]:
        """Send a request. Returns the status and the body of the answer, as far as they were received."""
        status, content = None, b""
        connection = http.client.HTTPConnection("127.0.0.1", random.choice(self.ports()), timeout=90)
        try:
            headers = JSON | signature_headers(body, webhook_id)
            connection.request("POST", f"/webhooks/{source}", body, headers)
            answer = connection.getresponse()
            status = answer.status
            content = answer.read()
        except (OSError, http.client.HTTPException):
            pass  # the process was killed meanwhile: the status, if it was read, counts
        finally:
            connection.close()
        return status, content


def _email(person: str, version: int) -> dict[str, object]:
    return {"address": f"{person.lower()}.v{version}@example.com", "verified": True}
