"""Fetch one sample entity of a pair draft, map it, and look for its record. Nothing is written or stored."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from connectors.contracts.errors import ConnectorError
from connectors.contracts.types import Entity, IdentityConnector, Record, TargetConnector
from connectors.values.secret_scrubber import SecretScrubber
from database.connection import release_connection
from sync.attempts.delivery_run import open_connector
from sync.limits.rate_limit import RateLimited
from sync.pairs.planned_pair import PlannedPair
from sync.planning.change import Change, redact_change
from sync.planning.mapping import EntityNotMappable, ParsedMapping
from sync.planning.mapping_declaration import parse_mapping
from sync.planning.record_matching import (
    AmbiguousMatch,
    MatchUndecided,
    RecordAbsenceUnproven,
    RecordQuery,
    find_record,
)
from sync.previews.attempt_preview import (
    ConnectionPaused,
    PreviewRecorder,
    PreviewTimedOut,
    limit_deadline,
)

logger = logging.getLogger("hub.preview")

T = TypeVar("T")
DEADLINE_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class SamplePerson:
    """One entity with its `attributes`, and what would become of it. Without a `change`, `code` and `side` say why: the
    code of a failure of a system, `no-entity` if the list is empty or has no such entity, or `mapping-failed` with the
    sentence `detail`. `record`: the one that was found; `is_found_by_value`: by a value such as an address, not by the
    id of the entity.
    """

    entity_id: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    change: Change | None = None
    record: Record | None = None
    is_found_by_value: bool = False
    code: str = ""
    side: str = ""
    detail: str = ""


class _NotRead(Exception):
    def __init__(self, code: str, side: str) -> None:
        super().__init__(code)
        self.code, self.side = code, side


def read_sample(pair: PlannedPair, entity_id: str = "") -> SamplePerson:
    """Read the entity with this id, or the first of the list, and plan the change of its record by the mapping.

    Takes DEADLINE_SECONDS at most, and sends nothing but reads. Failures of the systems are codes of the result.
    """
    deadline, scrubber, key = time.monotonic() + DEADLINE_SECONDS, SecretScrubber(), f"sample-{uuid.uuid4()}"
    release_connection()

    def connect(connection: object) -> object:
        recorder = PreviewRecorder(connection, deadline)  # type: ignore[arg-type]
        return open_connector(limit_deadline(connection), key, recorder, scrubber)  # type: ignore[arg-type]

    try:
        identity: IdentityConnector = _read("identity", lambda: connect(pair.identity))  # type: ignore[assignment]
        entity = _read("identity", lambda: _fetch_entity(identity, pair.entity_type, entity_id))
        if entity is None:
            return SamplePerson(entity_id, code="no-entity", side="identity")
        target: TargetConnector = _read("target", lambda: connect(pair.target))  # type: ignore[assignment]
        return _plan(pair, target, entity, scrubber)
    except _NotRead as failure:
        return SamplePerson(entity_id, code=failure.code, side=failure.side)


def _read(side: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ConnectorError as error:
        raise _NotRead(error.code, side) from None
    except (PreviewTimedOut, RateLimited):
        raise _NotRead("preview-late", side) from None
    except ConnectionPaused:
        raise _NotRead("preview-paused", side) from None


def _fetch_entity(identity: IdentityConnector, entity_type: str, entity_id: str) -> Entity | None:
    if entity_id:
        return identity.fetch_entity(entity_type, entity_id)
    listed = identity.read_entity_page(entity_type, None).entities
    # An item of a list may be a part of its entity.
    return identity.fetch_entity(entity_type, listed[0].id) if listed else None


def _plan(
    pair: PlannedPair, target: TargetConnector, entity: Entity, scrubber: SecretScrubber
) -> SamplePerson:
    mapping = parse_mapping(pair.declaration).of_entity
    shown = scrubber.scrub_document(dict(entity.attributes))
    # References need links, which a pair draft does not have.
    try:
        fields = mapping.map_entity(entity.attributes, {})
    except EntityNotMappable as error:
        return SamplePerson(entity.id, shown, code="mapping-failed", detail=f"{error.field}: {error.reason}.")
    try:
        record, is_by_value = _read(
            "target", lambda: _find_record(target, mapping, pair.entity_type, entity, fields)
        )
    except _NotRead as failure:
        return SamplePerson(entity.id, shown, code=failure.code, side=failure.side)
    change = redact_change(mapping.plan_record(fields, record), scrubber.scrub_document)
    return SamplePerson(entity.id, shown, change, record, is_by_value)


def _find_record(
    target: TargetConnector,
    mapping: ParsedMapping,
    entity_type: str,
    entity: Entity,
    fields: dict[str, object],
) -> tuple[Record | None, bool]:
    query = RecordQuery(entity_type, entity.id, None, lambda _: frozenset(), lambda _: None)
    try:
        found = find_record(target, mapping, query).record
    except (AmbiguousMatch, MatchUndecided, RecordAbsenceUnproven):
        raise _NotRead("ambiguous-match", "target") from None
    if found is not None:
        return found, False
    for value in mapping.new_values(entity.attributes, {}, fields):
        for record in target.search_records(entity_type, value.field, str(value.value)):
            return record, True
    return None, False
