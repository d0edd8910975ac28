"""A source under load that sends requests with several events, each until it is answered."""

import json
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.faults.consistency.checker import Sending
from tests.faults.load.native_source import Batch
from tests.faults.load.source_driver import MAX_ATTEMPTS, Driver, Webhook

STORED, REFUSED = 202, 422
"""The status of an event that is named in an answer with a reference, and of one without."""


@dataclass(frozen=True, slots=True)
class BatchSending:
    """One request with several events as the driver sent it. `status` is None if the connection was cut.

    `results`: those of the answer, one for each event; empty if it has none.
    """

    batch: Batch
    status: int | None
    results: Sequence[dict[str, Any]]


@dataclass
class BatchDriver(Driver):
    """A sender of single webhooks and of batches. `references`: event id → reference, as the hub first named it.

    `faults`: answers that contradict the request or an earlier answer. `answered`: the number of requests that
    were answered so far.
    """

    requests: list[BatchSending] = field(default_factory=list)
    references: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    answered: int = 0
    _uncertain: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send_all(self, requests: Sequence[Webhook | Batch], clients: int) -> None:
        """Send these from several clients, then a webhook for each person whose last change may not have arrived."""
        with ThreadPoolExecutor(clients) as threads:
            list(threads.map(self._deliver_any, requests))
        people, self._uncertain = sorted(self._uncertain), set()
        self.run([Webhook(f"after_{time.monotonic_ns()}_{who}", who, "ack", 0) for who in people], clients)

    def _deliver_any(self, request: Webhook | Batch) -> None:
        if isinstance(request, Batch):
            self.deliver_batch(request)
        else:
            self.deliver(request)

    def deliver_batch(self, batch: Batch) -> None:
        """Change the people unless a copy did so before, then send the batch until it has a final answer."""
        for position, change in enumerate(batch.changes):
            if change.kind == "delivered":
                self._change(batch.event_id(position), change.entity)
        for _ in range(1 if batch.is_sent_once else MAX_ATTEMPTS):
            status = self.send_batch(batch)
            if status is not None and status < 500 and status != 429:
                return
            time.sleep(random.uniform(0.02, 0.2))
        assert batch.is_sent_once, f"{batch.name} was never answered: {self.requests[-1]}"
        self._uncertain.update(change.entity for change in batch.changes if change.kind == "delivered")

    def send_batch(self, batch: Batch) -> int | None:
        """Send a batch once. Returns the status of the answer."""
        sent_at = time.monotonic()
        status, content = self._post(batch.source, batch.body, batch.name)
        results = _results_of(content)
        with self._lock:
            self.requests.append(BatchSending(batch, status, results))
            if len(batch.changes) > 1 and results:
                self._compare_results(batch, results)
        self._note_sendings(batch, sent_at, status, results)
        return status

    def _post(self, source: str, body: bytes, webhook_id: str) -> tuple[int | None, bytes]:
        status, content = super()._post(source, body, webhook_id)
        with self._lock:
            self.answered += status is not None
        return status, content

    def _note_sendings(
        self, batch: Batch, sent_at: float, status: int | None, results: Sequence[dict[str, Any]]
    ) -> None:
        for position, change in enumerate(batch.changes):
            own = status
            if results:
                own = STORED if results[position].get("reference") else REFUSED
            if change.is_readable:
                is_delivered = change.kind == "delivered"
                name = batch.event_id(position)
                self.sendings.append(Sending(name, change.entity, sent_at, own, is_delivered))

    def _compare_results(self, batch: Batch, results: Sequence[dict[str, Any]]) -> None:
        """Compare the results with the events: one each, in their order, and the same reference for the same event."""
        if len(results) != len(batch.changes):
            self.faults.append(f"{batch.name} has {len(results)} results for {len(batch.changes)} events")
        for position, (change, result) in enumerate(zip(batch.changes, results, strict=False)):
            reference = result.get("reference", "")
            if bool(reference) != change.is_readable:
                self.faults.append(f"{batch.name} answers {result} for the {change.kind} event {position}")
            elif reference:
                first = self.references.setdefault(batch.event_id(position), reference)
                if first != reference:
                    self.faults.append(f"{batch.event_id(position)} is {first} and {reference}")


def _results_of(content: bytes) -> Sequence[dict[str, Any]]:
    try:
        document = json.loads(content)
    except ValueError:
        return ()
    results = document.get("results") if isinstance(document, dict) else None
    return results if isinstance(results, list) else ()
