"""Find the record of the target that belongs to an entity.

The order is: link, external id, a value that the change overwrote; the new value only before creating a
record. E-mail addresses change, so they must never be the only key. A link and the entity's own external id bind
under every policy. A link is a cache, and the external id that the hub wrote is the proof: where it was seen on the
linked record, the record has to bear it still, or the one that does is linked in its place. A record that is found by
another value is bound as the route's matching policy says. Two people may share an address: a record with the external
id of another entity, or with a link to another entity, never matches. The index of a search may lag: a hit counts only
if the record itself, read by its id, still has the value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from connectors.contracts.types import Record, TargetConnector
from connectors.values.json_responses import as_text
from sync.planning.mapping import EntityNotMappable, MatchValue, ParsedMapping

# Of one delivery. A person chooses among them on one page.
MAX_CANDIDATES = 10
# Search hits of one attempt that are read again by their ids.
MAX_HIT_READS = 10


class MatchingPolicy(StrEnum):
    """Policy by which an unlinked record, found by a value such as an address, is bound to an entity.

    `never`: it is not searched for. `hold`: a person decides. `verified`: the only record found, by a value that the
    identity service marks as verified; a person decides about any other. `trusted`: the only record found.
    """

    NEVER = "never"
    HOLD = "hold"
    VERIFIED = "verified"
    TRUSTED = "trusted"


class MatchEvidence(StrEnum):
    """How certain it is that the record which searches for an entity's values found is its own.

    `verified-unique`: it is the only record that has a value which the identity service marks as verified. `ambiguous`:
    several records have it, or one that belongs to another entity. `unverified`: the value is not verified.
    """

    VERIFIED_UNIQUE = "verified-unique"
    AMBIGUOUS = "ambiguous"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """The records of no other entity that searches for an entity's values found, at least one. `verified`: the verified
    values that found one. `is_shared`: a record that belongs to another entity has one of the values that found them.
    """

    records: tuple[Record, ...]
    verified: tuple[MatchValue, ...] = ()
    is_shared: bool = False

    @property
    def evidence(self) -> MatchEvidence:
        """Return how certain the match is, whatever the policy of the route."""
        if len(self.records) > 1 or self.is_shared:
            return MatchEvidence.AMBIGUOUS
        return MatchEvidence.VERIFIED_UNIQUE if self.verified else MatchEvidence.UNVERIFIED


class AmbiguousMatch(Exception):
    """Several records have the entity's external id: the target has to be corrected."""


class MatchUndecided(Exception):
    """Records may belong to the entity, and only a person may bind one of them. `candidates`: at most 10. `fields`: the
    mapped fields; None for a deleted entity, and where they are not known. `has_failed_proof`: as of a FoundRecord.
    `match`: what the searches by values found; None if the candidates were found otherwise.
    """

    def __init__(
        self,
        candidates: Sequence[Record],
        fields: Mapping[str, Any] | None = None,
        *,
        has_failed_proof: bool = False,
        match: ValueMatch | None = None,
    ) -> None:
        super().__init__(f"{len(candidates)} records may belong to the entity")
        self.candidates = tuple(candidates[:MAX_CANDIDATES])
        self.fields, self.has_failed_proof, self.match = fields, has_failed_proof, match


class RecordAbsenceUnproven(Exception):
    """The target does not return a linked record, and nothing proves that it was deleted."""


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """Facts about the record to find; `entity_type` is that of the target.

    `proven_field` is the field in which the linked record has shown the entity's id, empty if it never has.
    `other_owners(record_id)` returns the ids of the other entities that are linked to a record.
    `prove_absence(record_id)` raises RecordAbsenceUnproven, unless the linked record is known to be deleted.
    `is_other_entity(external_id)` is True if another entity with this id has a link. `checks_for_duplicates`: a second
    record with the external id counts although one is linked.
    """

    entity_type: str
    entity_id: str
    linked_record_id: str | None
    other_owners: Callable[[str], frozenset[str]]
    prove_absence: Callable[[str], None]
    proven_field: str = ""
    is_other_entity: Callable[[str], bool] = lambda _: False
    checks_for_duplicates: bool = False


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """The record of an entity, None if there is none.

    `has_unknown_external_id`: it is linked, but has the external id of an entity that the hub does not know. The id was
    mistyped, or the record is that of another person. `has_lost_external_id`: it is linked, and does not have the
    external id any more that it had, or has that of another entity, and no other record has the entity's own.
    `is_taken_over`: it bears the entity's external id, and has to be linked to the entity before it is changed, because
    another entity is linked to it. `has_failed_proof`: the linked record bears another external id than that of the
    entity, or none.
    """

    record: Record | None
    has_unknown_external_id: bool = False
    has_lost_external_id: bool = False
    is_taken_over: bool = False
    has_failed_proof: bool = False


NO_RECORD = FoundRecord(None)


def find_record(target: TargetConnector, mapping: ParsedMapping, query: RecordQuery) -> FoundRecord:
    """Return the entity's record by link or external id.

    Raises AmbiguousMatch if two records have its external id, MatchUndecided if a linked record has lost the external
    id and others have it, RecordAbsenceUnproven if the linked record seems to be deleted, and ConnectorError.
    """
    external_id = mapping.match.external_id
    linked = _read_linked(target, query)
    if linked is None:
        return _find_by_external_id(target, external_id, query)
    if external_id is None or _has_own_external_id(target, linked, external_id, query):
        if query.checks_for_duplicates and external_id is not None:
            _require_only_record(target, external_id, query, linked)
        return FoundRecord(linked)
    if query.proven_field == external_id and external_id in mapping.fields:
        return _find_in_place_of(target, linked, external_id, query)
    return _find_for_unproven(target, linked, external_id, query)


def _read_linked(target: TargetConnector, query: RecordQuery) -> Record | None:
    """Return the linked record; None if there is no link. Raises RecordAbsenceUnproven if the record seems deleted."""
    if query.linked_record_id is None:
        return None
    linked = target.get_record(query.entity_type, query.linked_record_id)
    if linked is None:
        query.prove_absence(query.linked_record_id)
    return linked


def _find_for_unproven(
    target: TargetConnector, linked: Record, external_id: str, query: RecordQuery
) -> FoundRecord:
    """Return the record of an entity whose linked one has never shown its external id."""
    text = as_text(linked.fields.get(external_id))
    if text:
        # The record that has the entity's own id comes first: the base URL may lead to another system now.
        own = _find_by_external_id(target, external_id, query)
        if own.record is not None:
            return replace(own, has_failed_proof=True)
    if query.other_owners(linked.id) or (text and query.is_other_entity(text)):
        # The record was taken over by another entity, whose id it bears or bore then; the target has reused the id of
        # the record, or a person has merged two.
        return _find_in_place_of(target, linked, external_id, query)
    # Nothing but the link says whose record it is: the target may not return the field, and an external id that no
    # entity has was only mistyped.
    return FoundRecord(linked, has_unknown_external_id=bool(text))


def _find_in_place_of(
    target: TargetConnector, linked: Record, external_id: str, query: RecordQuery
) -> FoundRecord:
    """Return the record that has the entity's external id in place of the linked one, which has lost it or has that of
    another entity; the linked one if none has it. Raises MatchUndecided if it is not certain which record is the
    entity's.
    """
    hits = target.search_records(query.entity_type, external_id, query.entity_id)
    if not hits:
        return FoundRecord(linked, has_lost_external_id=True, has_failed_proof=True)
    owners = query.other_owners(hits[0].id)
    if len(hits) > 1 or _is_of_namesake(owners, query):
        raise MatchUndecided([linked, *hits], has_failed_proof=True)
    return FoundRecord(hits[0], is_taken_over=True, has_failed_proof=True)


def _find_by_external_id(target: TargetConnector, external_id: str | None, query: RecordQuery) -> FoundRecord:
    """Return the only record that has the external id of the entity, if any. Raises AmbiguousMatch if two have it."""
    if external_id is None:
        return NO_RECORD
    owners = _search_by_external_id(target, external_id, query)
    if len(owners) > 1:
        raise AmbiguousMatch(external_id)
    return next((FoundRecord(record, is_taken_over=bool(others)) for record, others in owners), NO_RECORD)


def _has_own_external_id(
    target: TargetConnector, linked: Record, external_id: str, query: RecordQuery
) -> bool:
    """True if a linked record has the external id of its entity. Systems differ in the case that they return."""
    text = as_text(linked.fields.get(external_id)) or ""
    return text.casefold() == query.entity_id.casefold() or target.has_value(
        query.entity_type, linked, external_id, query.entity_id
    )


def _require_only_record(
    target: TargetConnector, external_id: str, query: RecordQuery, linked: Record
) -> None:
    """Raise AmbiguousMatch if another record than the linked one has the external id of the entity."""
    if any(record.id != linked.id for record, _ in _search_by_external_id(target, external_id, query)):
        raise AmbiguousMatch(external_id)


def _search_by_external_id(
    target: TargetConnector, external_id: str, query: RecordQuery
) -> list[tuple[Record, frozenset[str]]]:
    """Return the records that have the external id of the entity, each with the other entities that are linked to it.
    Leaves out that of a namesake: two identity services may use one id for two people.
    """
    hits = target.search_records(query.entity_type, external_id, query.entity_id)
    owned = [(record, query.other_owners(record.id)) for record in hits]
    return [(record, owners) for record, owners in owned if not _is_of_namesake(owners, query)]


def _is_of_namesake(owners: frozenset[str], query: RecordQuery) -> bool:
    return any(owner.casefold() == query.entity_id.casefold() for owner in owners)


def require_own_external_id(
    mapping: ParsedMapping, fields: Mapping[str, Any], entity_id: str, *, is_creation: bool
) -> None:
    """Check the mapped fields of a record: the field by which it is found must get the id of its entity.

    Raises EntityNotMappable if a creation does not give it that id, or if an update removes it. A field that the
    mapping does not write is left to the target.
    """
    name = mapping.match.external_id
    if name is None or name not in mapping.fields:
        return
    text = as_text(fields.get(name)) or ""
    # Systems differ in the case of the text that they return.
    is_wrong = text.casefold() != entity_id.casefold() if is_creation else name in fields and not text
    if is_wrong:
        raise EntityNotMappable(name, "records are found by this field, so it must get the id of the entity")


def match_record(
    target: TargetConnector,
    mapping: ParsedMapping,
    query: RecordQuery,
    policy: MatchingPolicy,
    *,
    previous: Sequence[MatchValue],
    new: Sequence[MatchValue],
) -> ValueMatch | None:
    """Return the match whose only record the policy binds to the entity; None if no record has one of the values.

    New values are searched only if the previous ones do not decide. Each record found is read by its id, so that the
    index of the search does not decide. Raises MatchUndecided if a person has to decide, RecordAbsenceUnproven if a
    record that was found seems to be deleted, and ConnectorError.
    """
    if policy is MatchingPolicy.NEVER:
        return None
    hits, is_trusted = _SearchHits(target, mapping.match.external_id, query), False
    for values in (previous, new):
        for value in values:
            if hits.search(value) and (value.is_verified or policy is MatchingPolicy.TRUSTED):
                is_trusted = True
        if policy is not MatchingPolicy.HOLD and len(hits.unowned) == 1 and is_trusted:
            return hits.as_match()
    if hits.unowned:
        raise MatchUndecided(list(hits.unowned.values()), match=hits.as_match())
    return None


@dataclass(slots=True)
class _SearchHits:
    """The records that searches for values find in one attempt. `current`: those read by their ids, None if absent.
    `unowned`: those that belong to no other entity, by their ids. `verified` and `is_shared`: as of a ValueMatch.
    """

    target: TargetConnector
    external_id: str | None
    query: RecordQuery
    current: dict[str, Record | None] = field(default_factory=dict)
    unowned: dict[str, Record] = field(default_factory=dict)
    verified: list[MatchValue] = field(default_factory=list)
    is_shared: bool = False

    def as_match(self) -> ValueMatch:
        """Return what was found so far."""
        return ValueMatch(tuple(self.unowned.values()), tuple(self.verified), self.is_shared)

    def search(self, value: MatchValue) -> bool:
        """Find the records that have the value and belong to no other entity, as they are now. Returns True if there is
        one.
        """
        hits = self.target.search_records(self.query.entity_type, value.field, str(value.value))
        unowned = [hit for hit in hits if not _belongs_to_other(hit, self.external_id, self.query)]
        records = [record for hit in unowned if (record := self._read_current(hit, value)) is not None]
        for record in records:
            self.unowned.setdefault(record.id, record)
        if records:
            self.is_shared |= len(unowned) < len(hits)
            self.verified += [value] if value.is_verified else []
        return bool(records)

    def _read_current(self, hit: Record, value: MatchValue) -> Record | None:
        """Return the record of a hit as it is now; None if it was deleted, has lost the value or has got another
        external id. Raises RecordAbsenceUnproven if it is not found and nothing proves that it was deleted.

        Sends one request for each record. A hit beyond the limit is returned as the search gave it.
        """
        if hit.id not in self.current:
            if len(self.current) >= MAX_HIT_READS:
                return hit
            record = self.target.get_record(self.query.entity_type, hit.id)
            if record is None:
                # With a mistyped path of records, each of them would be created a second time.
                self.query.prove_absence(hit.id)
            self.current[hit.id] = record
        record = self.current[hit.id]
        if record is None or _has_other_external_id(record, self.external_id, self.query):
            return None
        has_value = self.target.has_value(self.query.entity_type, record, value.field, str(value.value))
        return record if has_value else None


def _belongs_to_other(record: Record, external_id: str | None, query: RecordQuery) -> bool:
    return _has_other_external_id(record, external_id, query) or bool(query.other_owners(record.id))


def _has_other_external_id(record: Record, external_id: str | None, query: RecordQuery) -> bool:
    """True if a record that was found by a value has another external id than the entity, or the same in another case:
    unlike a linked record, nothing else says whose it is.
    """
    own_external_id = None if external_id is None else as_text(record.fields.get(external_id))
    return bool(own_external_id and own_external_id != query.entity_id)
