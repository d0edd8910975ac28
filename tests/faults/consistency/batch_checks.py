"""A comparison of requests with several events, as the driver sent them, with the hub's tables and its audit log.

The hub is imported within functions that run in its processes.
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config_schema.codes.reference import to_reference
from tests.faults.load.batch_driver import BatchDriver, BatchSending
from tests.faults.load.native_source import ACK, CANARY, RESULT, Batch
from tests.support.processes.hub_processes import RunningHub


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of a native source's event. `batch` is the key of the receipt of its request, None if it was alone."""

    pk: int
    event_id: str
    reference: str
    batch: int | None


def find_batch_faults(driver: BatchDriver, hub: RunningHub) -> dict[str, list[str]]:
    """Return the faults by kind; requires that nothing is running.

    `answers`: an answer contradicts its request, another answer or the rows. `partial`: some events of a batch are
    stored and others are not, or they were stored in two commits. `receipts`: receipts and events do not fit together.
    `order`: events of a batch are not in its order. `audit`: what `verify_audit` finds. `secret`: what the format drops
    is stored.
    """
    events = {event.event_id: event for event in _stored_events(hub)}
    batches = {request.batch.name: request.batch for request in driver.requests}
    found = {
        "answers": [*driver.faults, *_wrong_references(driver.references, events)],
        "partial": list(_find_partial(list(batches.values()), events)),
        "receipts": list(_find_receipt_faults(driver.requests, events, hub)),
        "order": list(_find_disorder(list(batches.values()), events)),
        **_examine(hub),
    }
    return {kind: faults for kind, faults in found.items() if faults}


def _stored_events(hub: RunningHub) -> Iterator[StoredEvent]:
    rows = hub.rows(
        "SELECT e.id, e.event_id, e.uuid, e.batch_id FROM webhooks_event e JOIN webhooks_source s"
        f" ON s.id = e.source_id WHERE s.slug IN ('{ACK}', '{RESULT}')"
    )
    for pk, event_id, value, batch in rows:
        yield StoredEvent(pk, event_id, to_reference(uuid.UUID(str(value))), batch)


def _wrong_references(references: Mapping[str, str], events: Mapping[str, StoredEvent]) -> Iterator[str]:
    for event_id, reference in references.items():
        if event_id not in events:
            yield f"{event_id} was answered with {reference} and is not stored"
        elif events[event_id].reference != reference:
            yield f"{event_id} was answered with {reference}, its row is {events[event_id].reference}"


def _events_of_one_batch(
    batches: Sequence[Batch], events: Mapping[str, StoredEvent]
) -> Iterator[tuple[Batch, int, list[StoredEvent]]]:
    """Yield each batch with the number of its events that no other batch has, and those of them that are stored."""
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for batch in batches:
        for event_id in batch.stored_ids:
            holders[event_id].add(batch.name)
    for batch in batches:
        own = [event_id for event_id in batch.stored_ids if len(holders[event_id]) == 1]
        yield batch, len(own), [events[event_id] for event_id in own if event_id in events]


def _find_partial(batches: Sequence[Batch], events: Mapping[str, StoredEvent]) -> Iterator[str]:
    """Yield batches that are stored in part. An event that is in several batches may be stored with any of them."""
    for batch, sent, stored in _events_of_one_batch(batches, events):
        if stored and len(stored) < sent:
            yield f"{batch.name}: {len(stored)} of {sent} events are stored"
        elif len({event.batch for event in stored}) > 1:
            yield f"{batch.name} is stored with the receipts {sorted({str(event.batch) for event in stored})}"


def _find_receipt_faults(
    requests: Sequence[BatchSending], events: Mapping[str, StoredEvent], hub: RunningHub
) -> Iterator[str]:
    receipts = dict(hub.rows("SELECT id, event_count FROM webhooks_receipt WHERE event_count > 0"))
    sizes: defaultdict[str, set[int]] = defaultdict(set)
    for request in requests:
        for event_id in request.batch.stored_ids:
            sizes[event_id].add(len(request.batch.changes))
    for event_id, event in events.items():
        if event.batch is None:
            if 1 not in sizes[event_id]:
                yield f"{event_id} has no receipt of a batch"
        elif receipts.get(event.batch) not in sizes[event_id]:
            yield f"the receipt of {event_id} has {receipts.get(event.batch)} events, sent were {sizes[event_id]}"
    answered = sum(bool(request.results) and len(request.batch.changes) > 1 for request in requests)
    cut = sum(request.status is None or request.status >= 500 for request in requests)
    if not answered <= len(receipts) <= answered + cut:
        yield f"{len(receipts)} receipts of batches, {answered} answered and {cut} cut"


def _find_disorder(batches: Sequence[Batch], events: Mapping[str, StoredEvent]) -> Iterator[str]:
    """Yield batches whose events are not stored in the order of the request."""
    for batch, _, stored in _events_of_one_batch(batches, events):
        if [event.pk for event in stored] != sorted(event.pk for event in stored):
            yield f"{batch.name} is stored in another order"


def _examine(hub: RunningHub) -> dict[str, list[str]]:
    script = "from tests.faults.consistency.batch_checks import print_examination; print_examination()"
    printed: dict[str, list[str]] = json.loads(
        hub.manage("shell", "--verbosity", "0", "-c", script).splitlines()[-1]
    )
    return printed


def print_examination() -> None:
    """Verify the audit log with all rows, and look for the secret in all payloads. Prints the faults as JSON."""
    from webhooks.models import Payload

    payloads = Payload.objects.select_related("subject").iterator()
    secret = [f"payload {payload.pk}" for payload in payloads if CANARY.encode() in payload.decrypt()]
    print(json.dumps({"audit": find_audit_faults(), "secret": [*secret, *_find_in_columns()]}))


def find_audit_faults() -> list[str]:
    """Return what the nightly check finds, in this process: in the audit log, and in the rows about events."""
    from audit.verification.check_database import verify_database
    from exports.row_checks.nightly_rows import find_row_faults

    return [*map(str, verify_database().faults), *find_row_faults()]


def _find_in_columns() -> Iterable[str]:
    """Yield the columns in which the secret is written as it is."""
    from django.apps import apps
    from django.db import models

    kinds = (models.CharField, models.TextField, models.JSONField)
    for model in apps.get_models():
        for column in model._meta.local_fields:
            if isinstance(column, kinds):
                values: Iterable[Any] = model._default_manager.values_list(column.name, flat=True)
                if any(CANARY in str(value) for value in values):
                    yield f"{model._meta.label}.{column.name}"
