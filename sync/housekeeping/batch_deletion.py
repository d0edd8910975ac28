"""Delete old rows in batches, oldest first. Rows of open events are never deleted.

Rows are found by walking their keys from the lowest, which is where the oldest are: no index on a time must be written
with every webhook.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from sync.models import (
    OPEN_COMPARISON_STATES,
    OPEN_STATES,
    Attempt,
    AwaitedRecord,
    Call,
    Comparison,
    ComparisonRecord,
    Delivery,
    Difference,
    Recheck,
    SearchDigest,
)
from webhooks.models import Event, Payload, Receipt, SubjectKey

BATCH_SIZE = 500
# Smaller, because each event takes its receipts, deliveries, attempts, calls and payloads along.
EVENT_BATCH_SIZE = 100
PAYLOAD_REFERENCES: tuple[tuple[Any, str], ...] = (
    (Event, "payload"),
    (Receipt, "payload"),
    (Receipt, "answer"),
    (Attempt, "findings"),
    (Call, "request"),
    (Call, "response"),
)
_EVENT_OF = {Event: "pk", Receipt: "event", Attempt: "delivery__event", Call: "attempt__delivery__event"}


@dataclass(frozen=True, slots=True)
class PrunedBatch:
    """The last key that a batch reached, and the number of rows it deleted. `is_last`: no older rows follow."""

    last_key: int
    deleted: int
    is_last: bool


def prune_payloads(up_to: datetime, after: int) -> PrunedBatch:
    """Delete payloads stored before `up_to`, except payloads of open events."""
    window = _read_window(Payload.objects.all(), "created_at", up_to, after, BATCH_SIZE)
    owners = {
        key: event
        for model, name in PAYLOAD_REFERENCES
        for key, event in _events_of_payloads(model, name, window.old_keys)
    }
    open_events = find_open_events(owners.values())
    deletable = [key for key in window.old_keys if owners.get(key) not in open_events]
    delete_payloads(deletable)
    return window.to_batch(len(deletable))


def prune_calls(up_to: datetime, after: int) -> PrunedBatch:
    """Delete calls begun before `up_to` with their requests and responses, except calls of open events."""
    window = _read_window(Call.objects.all(), "started_at", up_to, after, BATCH_SIZE)
    owners: dict[int, Any] = dict(
        Call.objects.filter(pk__in=window.old_keys).values_list("pk", "attempt__delivery__event")
    )
    open_events = find_open_events(owners.values())
    deletable = [key for key in window.old_keys if owners.get(key) not in open_events]
    delete_calls(Call.objects.filter(pk__in=deletable))
    return window.to_batch(len(deletable))


def prune_events(up_to: datetime, after: int) -> PrunedBatch:
    """Delete events received before `up_to` with all dependent rows, except open events."""
    window = _read_window(Event.objects.all(), "received_at", up_to, after, EVENT_BATCH_SIZE)
    # Locked before the check, so that no replay reopens an event between the check and its deletion.
    list(
        Delivery.objects.select_for_update()
        .filter(event__in=window.old_keys)
        .order_by("event_id", "pk")
        .only("pk")
    )
    open_events = find_open_events(window.old_keys)
    deletable = [key for key in window.old_keys if key not in open_events]
    delete_events(deletable)
    return window.to_batch(len(deletable))


def prune_unusable_requests(up_to: datetime, after: int) -> PrunedBatch:
    """Delete verified requests without a valid webhook, received before `up_to`."""
    window = _read_window(Receipt.objects.all(), "received_at", up_to, after, BATCH_SIZE)
    deletable = list(Receipt.objects.filter(pk__in=window.old_keys, event=None).values_list("pk", flat=True))
    delete_payloads(_payload_keys(Receipt.objects.filter(pk__in=deletable), "payload", "answer"))
    Receipt.objects.filter(pk__in=deletable).delete()
    return window.to_batch(len(deletable))


def prune_comparisons(up_to: datetime, after: int) -> PrunedBatch:
    """Delete comparisons requested before `up_to` that have ended: first their rows, a batch at a time."""
    ended = Comparison.objects.exclude(state__in=OPEN_COMPARISON_STATES)
    window = _read_window(ended, "requested_at", up_to, after, BATCH_SIZE)
    for rows in (Difference.objects.all(), ComparisonRecord.objects.all()):
        keys = list(
            rows.filter(comparison__in=window.old_keys).values_list("pk", flat=True)[:BATCH_SIZE]
            if window.old_keys
            else ()
        )
        if keys:
            rows.filter(pk__in=keys).delete()
            return PrunedBatch(after, len(keys), is_last=False)
    ended.filter(pk__in=window.old_keys).delete()
    return window.to_batch(len(window.old_keys))


@dataclass(frozen=True, slots=True)
class _KeyWindow:
    """The next rows in key order. `old_keys`: those old enough to be deleted."""

    old_keys: list[int]
    last_key: int
    is_last: bool

    def to_batch(self, deleted: int) -> PrunedBatch:
        return PrunedBatch(self.last_key, deleted, self.is_last)


def _read_window(rows: QuerySet[Any], moment: str, up_to: datetime, after: int, limit: int) -> _KeyWindow:
    """Read the next rows. The walk ends at a window without old rows; a few rows with a wrong clock do not stop it."""
    window = list(rows.filter(pk__gt=after).order_by("pk").values_list("pk", moment)[:limit])
    old_keys = [key for key, at in window if at < up_to]
    return _KeyWindow(
        old_keys, window[-1][0] if window else after, is_last=not old_keys or len(window) < limit
    )


def _events_of_payloads(model: Any, name: str, keys: Collection[int]) -> Iterable[tuple[int, int]]:
    """Return payloads among `keys` that these rows reference, each with its event."""
    rows: Iterable[tuple[int, int]] = model.objects.filter(**{f"{name}__in": keys}).values_list(
        name, _EVENT_OF[model]
    )
    return rows


def find_open_events(keys: Iterable[int | None]) -> set[int | None]:
    """Return events that have an open delivery. (The event's state may hide it behind a worse one.)"""
    open_deliveries = Delivery.objects.filter(event__in={key for key in keys if key}, state__in=OPEN_STATES)
    event_ids: Iterable[Any] = open_deliveries.values_list("event", flat=True)
    return set(event_ids)


def delete_payloads(keys: Collection[int]) -> None:
    """Delete payloads, and clear the references to them.

    Locks them first: a repeat of a webhook locks the payload that its receipt will reference, and so comes before or
    after.
    """
    if keys:
        _lock_rows(Payload.objects.filter(pk__in=keys))
        Payload.objects.filter(pk__in=keys).delete()


def _lock_rows(rows: QuerySet[Any]) -> None:
    """Lock rows in the order of their keys until the commit."""
    list(rows.select_for_update().order_by("pk").values_list("pk"))


def delete_calls(calls: QuerySet[Call]) -> None:
    """Delete calls with their requests and responses. Responses that another call shares stay until that is deleted.

    The payloads are locked first: of two processes that delete the calls of one payload, the second sees what the first
    deleted, and so one of them deletes the payload.
    """
    keys = sorted(set(_payload_keys(calls, "request", "response")))
    _lock_rows(Payload.objects.filter(pk__in=keys))
    calls.delete()
    shared = set(Call.objects.filter(response__in=keys).values_list("response", flat=True))
    delete_payloads([key for key in keys if key not in shared])


def delete_events(keys: Collection[int]) -> None:
    """Delete events with their receipts, deliveries, attempts, calls and payloads.

    Locks their payloads, then the events: a repeat of a webhook locks the same two, and so comes before or after.
    """
    if not keys:
        return
    _lock_rows(Payload.objects.filter(pk__in=_payload_keys(Event.objects.filter(pk__in=keys), "payload")))
    _lock_rows(Event.objects.filter(pk__in=keys))
    events, receipts = Event.objects.filter(pk__in=keys), Receipt.objects.filter(event__in=keys)
    deliveries = Delivery.objects.filter(event__in=keys)
    attempts = Attempt.objects.filter(delivery__in=list(deliveries.values_list("pk", flat=True)))
    tried = list(attempts.values_list("pk", flat=True))
    payloads = _payload_keys(events, "payload") + _payload_keys(receipts, "payload", "answer")
    payloads += _payload_keys(attempts, "findings")
    delete_calls(Call.objects.filter(attempt__in=tried))
    # These attempts may have settled younger events, which stay.
    Delivery.objects.filter(covered_by__in=tried).update(covered_by=None)
    # These attempts may have repaired what younger events sent, and these deliveries may check for them.
    Recheck.objects.filter(repaired_by__in=tried).update(repaired_by=None)
    Recheck.objects.filter(delivery__event__in=keys).update(delivery=None)
    AwaitedRecord.objects.filter(delivery__in=list(deliveries.values_list("pk", flat=True))).delete()
    rechecks = Recheck.objects.filter(attempt__in=tried)
    # Rows before the rows that they refer to, payloads last.
    subjects = set(events.values_list("entity_id", "entity_type"))
    for rows in (rechecks, Attempt.objects.filter(pk__in=tried), deliveries, receipts, events):
        rows.delete()
    delete_payloads(payloads)
    _delete_digests_of_unknown(subjects)


def _delete_digests_of_unknown(subjects: Iterable[tuple[str, str]]) -> None:
    """Delete the digests by which people are found of these entities (id and type), where no event of them is left."""
    for entity_id, entity_type in sorted(subjects):
        own = {"entity_id": entity_id, "entity_type": entity_type}
        digests = SearchDigest.objects.filter(**own)
        keys = list(digests.values_list("subject", flat=True))
        if keys and not Event.objects.filter(**own).exists():
            SubjectKey.objects.filter(pk__in=keys).update(search_state=None)
            digests.delete()


def _payload_keys(rows: QuerySet[Any], *names: str) -> list[int]:
    return [key for row in rows.values_list(*names) for key in row if key is not None]
