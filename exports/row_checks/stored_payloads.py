"""Checks that each row about an event names the encrypted payload that its audit entry has a digest of.

A payload belongs to the entity of its event, and is of the kind that its column has. Contents are not decrypted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import Model

from config_schema.codes.reference import to_reference
from exports.bundle.shipped.check_rows import CALL_COLUMNS, DIED, ENDED, PSEUDONYM_MARK, RowFault, row_digest
from exports.damaged_values import READ_ERRORS
from exports.row_checks.recorded_deletions import StoredDeletions
from sync.models import Attempt, Call
from webhooks.models import Event, Payload, Receipt, payload_digest, pseudonym

# Payloads that are read at once: the responses to an attempt's calls can have megabytes.
BATCH_SIZE = 20
# Table, its model, the way from its rows to their event, the column that names them in entries, and the columns of
# payloads with their kinds.
_COLUMNS: Sequence[tuple[str, type[Model], str, str, Mapping[str, str]]] = (
    ("events", Event, "pk", "uuid", {"payload": Payload.Kind.WEBHOOK}),
    (
        "receipts",
        Receipt,
        "event",
        "uuid",
        {"payload": Payload.Kind.WEBHOOK, "answer": Payload.Kind.ANSWER},
    ),
    ("attempts", Attempt, "delivery__event", "key", {"findings": Payload.Kind.FINDINGS}),
    (
        "calls",
        Call,
        "attempt__delivery__event",
        "pk",
        {"request": Payload.Kind.REQUEST, "response": Payload.Kind.RESPONSE},
    ),
)
Rows = Mapping[str, Sequence[Mapping[str, Any]]]
Streams = Mapping[str, Sequence[Mapping[str, Any]]]


def check_stored_payloads(
    keys: Sequence[int], rows: Rows, streams: Streams, deletions: StoredDeletions
) -> Iterator[RowFault]:
    """Yield a fault for each row under these events with another payload than its entry says, or without it.

    `rows` and `streams` belong to the events, read in the same snapshot. A payload that retention deleted, as the
    log says, may be missing.
    """
    subjects = Event.objects.filter(pk__in=keys).values_list("pk", "source_id", "entity_type", "entity_id")
    owners = {
        key: pseudonym(source, entity_type, entity_id)
        for key, source, entity_type, entity_id in subjects
        # An erasure deletes the payloads of its events before it gives them the pseudonym.
        if not entity_id.startswith(PSEUDONYM_MARK)
    }
    references = list(_read_references(list(owners)))
    stored = _read_payloads({reference.payload for reference in references} - {None})
    recorded = _recorded_digests(rows, streams)
    for reference in references:
        what = _find_fault(
            reference, stored.get(reference.payload), owners[reference.event], recorded, deletions
        )
        if what:
            yield RowFault("row-differs", reference.table, reference.row, f"{reference.column}_id", what)


class _Reference(NamedTuple):
    """A column of a row that names a payload, or none."""

    event: int
    table: str
    row: Any
    column: str
    kind: str
    payload: int | None


class _StoredPayload(NamedTuple):
    """The compared columns of a stored payload. `owner` is the pseudonym of its entity."""

    kind: Any
    owner: str | None
    digest: str


@dataclass(slots=True)
class _RecordedDigests:
    """The digests of payloads in entries, by table, row and column; None if the entry has none.

    A row that is not here is not compared: its entry is not stored any more, or not written yet. `times` has the time
    by table and row before which none of its payloads was stored.
    """

    digests: dict[tuple[str, Any, str], str | None] = field(default_factory=dict)
    times: dict[tuple[str, Any], str] = field(default_factory=dict)


def _find_fault(
    reference: _Reference,
    payload: _StoredPayload | None,
    owner: str,
    recorded: _RecordedDigests,
    deletions: StoredDeletions,
) -> str:
    """Return how a row differs from what is expected of its payload, empty if it does not."""
    place = (reference.table, reference.row, reference.column)
    # Whoever deletes a payload clears its columns in the same commit.
    if payload is None and reference.payload is not None:
        return "names a payload that does not exist"
    if payload is None:
        if recorded.digests.get(place) is None:
            return ""
        # While an erasure goes on, payloads are deleted without an entry.
        may_be_deleted = deletions.erased is None or recorded.times[place[:2]] < deletions.payloads_before
        return "" if may_be_deleted else "names no stored payload, but its entry does"
    if (payload.kind, payload.owner) != (reference.kind, owner):
        return "names a payload of another entity or of another kind"
    if place in recorded.digests and recorded.digests[place] != payload.digest:
        return "names another payload than its entry"
    return ""


def _read_references(keys: Sequence[int]) -> Iterator[_Reference]:
    for table, model, event, name, columns in _COLUMNS:
        rows = model._default_manager.filter(**{f"{event}__in": keys}).order_by("pk")
        for key, row, *payloads in rows.values_list(event, name, *(f"{column}_id" for column in columns)):
            shown = to_reference(row) if table in ("events", "receipts") else row
            for (column, kind), payload in zip(columns.items(), payloads, strict=True):
                yield _Reference(key, table, str(shown) if name == "key" else shown, column, kind, payload)


def _read_payloads(keys: set[int | None]) -> dict[int | None, _StoredPayload]:
    payloads: dict[int | None, _StoredPayload] = {}
    ordered = sorted(key for key in keys if key is not None)
    for start in range(0, len(ordered), BATCH_SIZE):
        rows = Payload.objects.filter(pk__in=ordered[start : start + BATCH_SIZE])
        for key, kind, owner, size, encrypted in rows.values_list(
            "pk", "kind", "subject__pseudonym", "size", "encrypted"
        ):
            payloads[key] = _StoredPayload(kind, owner, _digest_or_empty(kind, size, encrypted))
    return payloads


def _digest_or_empty(kind: Any, size: Any, encrypted: Any) -> str:
    """Return the digest of a payload; empty if a column has a value of another type, as SQLite can store it."""
    try:
        return payload_digest(kind, size, bytes(encrypted))
    except READ_ERRORS:
        return ""


def _recorded_digests(rows: Rows, streams: Streams) -> _RecordedDigests:
    recorded = _RecordedDigests()
    for event in rows["events"]:
        _add_event(recorded, event, streams.get(f"event:{event['reference']}", ()))
    attempts = {row["attempt"]: row for row in rows["attempts"]}
    ends: dict[str, Mapping[str, Any]] = {}
    for delivery in rows["deliveries"]:
        for entry in streams.get(f"delivery:{delivery['event']}:{delivery['route']}", ()):
            kind, _, word = entry["action"].partition(".")
            if kind == "attempt" and word in ENDED + DIED:
                ends[entry["details"]["attempt"]] = entry["details"]
    for key, details in ends.items():
        recorded.digests["attempts", key, "findings"] = details.get("findings")
        recorded.times["attempts", key] = attempts[key]["started"] if key in attempts else ""
    for call in rows["calls"]:
        if "calls" in ends.get(call["attempt"], ()):
            _add_call(recorded, call, ends[call["attempt"]], attempts[call["attempt"]]["started"])
    return recorded


def _add_event(
    recorded: _RecordedDigests, event: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]
) -> None:
    """Add the digests of an event's body and of the answers to its requests. All its requests have the one body."""
    if not entries or entries[0]["stream_seq"] != 1:
        return
    body = entries[0]["details"].get("payload")
    recorded.digests["events", event["reference"], "payload"] = body
    recorded.times["events", event["reference"]] = event["received"]
    for entry in entries:
        details = entry["details"]
        if entry["action"] in ("webhook.received", "webhook.repeated") and "batch" not in details:
            recorded.digests["receipts", details["receipt"], "payload"] = body
            recorded.digests["receipts", details["receipt"], "answer"] = details.get("answer")
            recorded.times["receipts", details["receipt"]] = event["received"]
        elif entry["action"] == "webhook.answered":
            recorded.digests["receipts", details["receipt"], "answer"] = details.get("answer")
            recorded.times.setdefault(("receipts", details["receipt"]), event["received"])


def _add_call(
    recorded: _RecordedDigests, call: Mapping[str, Any], details: Mapping[str, Any], started: str
) -> None:
    digest, calls = row_digest("call", *(call[name] for name in CALL_COLUMNS)), details["calls"]
    requests = {calls[place]: request for place, request in details.get("requests", ())}
    recorded.digests["calls", call["call"], "request"] = requests.get(digest)
    has_response = call["response_part"] is not None
    recorded.digests["calls", call["call"], "response"] = details.get("response") if has_response else None
    recorded.times["calls", call["call"]] = started
