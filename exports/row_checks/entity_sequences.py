"""Checks the order of what happened to one entity over several events: second records, and proofs of deletions."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from audit.format.signed_records import format_time
from audit.models import Entry
from config_schema.codes.reference import to_reference
from exports.bundle.shipped.check_rows import (
    LINKING,
    PSEUDONYM_MARK,
    Deletions,
    EventRows,
    LinkingAttempt,
    OtherProof,
    RowFault,
    linked_before,
    missing_proof,
    new_creations,
    other_proofs,
    reported_type,
    second_record,
)
from exports.row_checks.unusable_requests import uuid_of
from sync.models import Attempt
from webhooks.models import Event

Streams = Mapping[str, Sequence[Mapping[str, Any]]]


class _Subject(NamedTuple):
    """An entity of an identity connection at a target connection: it is linked to one record."""

    identity: int
    target: int
    entity_type: str
    entity_id: str


def check_entity_sequences(
    events: Sequence[EventRows], streams: Streams, deletions: Deletions
) -> Iterator[RowFault]:
    """Yield creations of a second record, and deletions whose proof is missing, among the attempts of these events.

    Reads the attempts of the entities that got a record here, and the proofs that these events do not have themselves.
    """
    yield from _check_creations(events, streams, deletions)
    proofs = [proof for rows in events for proof in other_proofs(rows, streams)]
    found = _read_proofs(proofs)
    for proof in proofs:
        # The event of a deletion is newer than the attempt's own, and retention deletes the oldest ones.
        may_be_deleted = proof.kind != "event" and bool(deletions.events_before)
        yield from missing_proof(proof, found.get(proof.key), may_be_deleted=may_be_deleted)


def _read_proofs(proofs: Sequence[OtherProof]) -> dict[str, str]:
    """Return the types of the events, and the codes of the attempts, that exist."""
    uuids = [uuid for proof in proofs if proof.kind == "event" and (uuid := uuid_of(proof.key))]
    keys = [proof.key for proof in proofs if proof.kind != "event"]
    if not proofs:
        return {}
    events = Event.objects.filter(uuid__in=uuids).values("uuid", "event_type", "origin")
    attempts = Attempt.objects.filter(key__in=keys).values_list("key", "code")
    types = {to_reference(event["uuid"]): reported_type(event) for event in events}
    return types | {str(key): code for key, code in attempts}


def _check_creations(
    events: Sequence[EventRows], streams: Streams, deletions: Deletions
) -> Iterator[RowFault]:
    created = {
        key
        for rows in events
        if not rows.event["entity_id"].startswith(PSEUDONYM_MARK)
        for key in new_creations(rows, streams)
    }
    if not created:
        return
    entities = {
        rows.event["entity_id"] for rows in events if created & {row["attempt"] for row in rows.attempts}
    }
    for subject, history in _read_histories(entities).items():
        for creation in history:
            linked = linked_before(creation, history) if creation.attempt in created else None
            # Entries of that time may be deleted, and with them that a person removed the link.
            if linked is None or deletions.has_no_entries(linked.ended):
                continue
            if not _was_released(subject, linked):
                yield second_record(creation, linked)


def _read_histories(entities: set[str]) -> Mapping[_Subject, list[LinkingAttempt]]:
    """Return the attempts that linked these entities to records, by entity and target."""
    histories: dict[_Subject, list[LinkingAttempt]] = defaultdict(list)
    attempts = Attempt.objects.filter(delivery__event__entity_id__in=entities, outcome__in=LINKING)
    columns = ("identity", "target", "entity_type", "entity_id")
    for key, ended, action, record, *subject in attempts.values_list(
        "key", "ended_at", "action", "record_id", *(f"delivery__{name}" for name in columns)
    ):
        if ended is not None:
            row = LinkingAttempt(str(key), format_time(ended), action, record)
            histories[_Subject(*subject)].append(row)
    return histories


def _was_released(subject: _Subject, linked: LinkingAttempt) -> bool:
    """True if a person removed the link, or the target gave the record's id to a new record of another entity."""
    since = datetime.fromisoformat(linked.ended)
    others = Attempt.objects.filter(
        record_id=linked.record_id, action="created", delivery__target=subject.target, ended_at__gte=since
    )
    if others.exclude(key=linked.attempt).exclude(delivery__entity_id=subject.entity_id).exists():
        return True
    events = Event.objects.filter(entity_type=subject.entity_type, entity_id=subject.entity_id)
    streams = [f"event:{to_reference(uuid)}" for uuid in events.values_list("uuid", flat=True)]
    streams.append(f"setting:connection:{subject.target}")
    removed = partial(Entry.objects.filter, action="link.removed", at__gte=since)
    return any(
        removed(stream__in=streams[start : start + 500]).exists() for start in range(0, len(streams), 500)
    )
