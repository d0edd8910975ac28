"""Facts about the rows of an attempt that audit entries repeat, so that a row that was changed later is found."""

from collections.abc import Iterable, Mapping

from audit.entries.append import NewEntry
from audit.format.canonical_json import JSONValue
from audit.format.row_digest import keyed_row_digest, row_digests
from sync.models import Attempt, Call, Delivery
from webhooks.models import Event, subject_row_key


def delivery_facts(delivery: Delivery) -> list[JSONValue]:
    """Return the columns of a delivery that never change: route, connections, and whether it is relayed."""
    return [delivery.route_id, delivery.identity_id, delivery.target_id, delivery.is_relayed]


def reopened_entries(deliveries: Iterable[Delivery], cause: str) -> list[NewEntry]:
    """Return the entries of deliveries that become pending again. Reads their events.

    `cause`: `replay`, `repeat` or `recheck`. The event of a re-checked delivery keeps its state until the check ends.
    """
    return [
        NewEntry(delivery.stream, "delivery.reopened", details={"cause": cause}) for delivery in deliveries
    ]


def attempt_facts(attempt: Attempt, event: Event) -> dict[str, JSONValue]:
    """Return the columns that the end of an attempt sets and its entry does not name otherwise."""
    facts: dict[str, JSONValue] = {"retryable": attempt.is_retryable}
    if attempt.record_id:
        # The id of a record may identify a person, and an erasure removes it from the row.
        facts["record"] = keyed_row_digest(subject_row_key(event.uuid), "record", attempt.record_id)
    if attempt.counted_as:
        facts["counted_as"] = str(attempt.counted_as)
    if attempt.findings is not None:
        facts["findings"] = attempt.findings.entry_digest
    return facts


def change_facts(deletion_proof: Mapping[str, str], *, replaces_record: bool) -> dict[str, JSONValue]:
    """Return what the log must say so that a deletion, or the creation of a second record, is no fault of its rows.

    `proof`: what proves that the entity was deleted. `replaces`: the entity was linked to a record, which the target
    does not have any more or which is that of another entity.
    """
    facts: dict[str, JSONValue] = {"proof": {**deletion_proof}} if deletion_proof else {}
    return facts | ({"replaces": True} if replaces_record else {})


def call_facts(calls: Iterable[Call]) -> dict[str, JSONValue]:
    """Return digests of the calls of an attempt, and of the payloads that they name.

    `calls` has a digest of each call, `requests` the place in `calls` and the digest of each request that has a payload
    of its own, and `response` the digest of the one payload with the responses.
    """
    rows = list(calls)
    facts: dict[str, JSONValue] = {"calls": call_digests(rows)}
    requests: list[JSONValue] = [
        [place, call.request.entry_digest] for place, call in enumerate(rows) if call.request is not None
    ]
    if requests:
        facts["requests"] = requests
    responses = next((call.response for call in rows if call.response is not None), None)
    if responses is not None:
        facts["response"] = responses.entry_digest
    return facts


def call_digests(calls: Iterable[Call]) -> list[JSONValue]:
    """Return a digest of each call."""
    rows = [
        (
            call.connection_id,
            call.purpose,
            call.is_write,
            call.method,
            call.path,
            call.started_at,
            milliseconds(call.seconds),
            call.status,
            call.error,
            call.sent_bytes,
            call.received_bytes,
            call.response_part,
        )
        for call in calls
    ]
    return list(row_digests("call", rows))


def milliseconds(seconds: float | None) -> int | None:
    """Return whole milliseconds: evidence holds whole numbers only."""
    return None if seconds is None else round(seconds * 1000)
