"""Compare the entities of one page with their records, by a number of statements that does not depend on the page.

An entity's record is found by its link, then by its external id, then by its first match value in the snapshot. What
differs, is missing or cannot be mapped is a candidate: it is planned again before it is reported. An entity outside the
scope of the route is not mapped: without a link it is only counted, and with one it is a candidate unless its record is
as the route says already.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from connectors.contracts.errors import ConnectorError, CredentialsRefused
from connectors.contracts.types import Entity, Record
from sync.attempts.scope import OUT_OF_SCOPE_CODE
from sync.background_reads.paced_recorder import RETRY_SECONDS, ReadsWait
from sync.comparisons.confirmation.subject_states import read_subject_states
from sync.comparisons.sides.comparison_run import (
    ComparisonFailed,
    ComparisonRun,
    FoundDifferences,
)
from sync.comparisons.sides.digests import ComparedFields
from sync.comparisons.sides.list_reading import read_items
from sync.comparisons.sides.snapshot import (
    is_deactivated,
    match_field_of,
    readable_deactivation,
    unkept_of,
)
from sync.deliveries.routes import ResolvedRoute, types_of_same_target
from sync.models import (
    ComparisonCount,
    ComparisonRecord,
    Delivery,
    Difference,
    DifferenceKind,
    DifferenceStatus,
    Link,
    Route,
)
from sync.planning.first_values import look_up_unseen
from sync.planning.mapping import EntityNotMappable, MappingOverBudget, ReferenceMissing, TooManyReferences
from sync.planning.reference_resolution import map_with_references
from sync.planning.references import FindRecords, Reference, ReferenceLookup
from sync.planning.scope import ConditionFailed, in_scope
from sync.references.linked_records import record_finder
from sync.references.missing_references import REFERENCE_MISSING_CODE
from webhooks.made_events import is_entity_id

_UNMAPPABLE_CODES: Mapping[type[EntityNotMappable], str] = {
    MappingOverBudget: "mapping-over-budget",
    TooManyReferences: "too-many-references",
    ReferenceMissing: REFERENCE_MISSING_CODE,
    ConditionFailed: "mapping-failed",
}
# Rows that a page shows of a kind that is only counted.
SAMPLE_SIZE = 100


class EntityLink(NamedTuple):
    """The record that an entity is linked to, the fields of it that the target does not keep, and whether the entity
    left the scope of the route.
    """

    record_id: str
    unkept: tuple[str, ...]
    has_left: bool


class RecordOwner(NamedTuple):
    """An entity that is linked to a record."""

    identity_id: int
    entity_type: str
    entity_id: str


@dataclass(slots=True)
class MappedEntity:
    """An entity of the page, as a record. `code`: why it cannot be mapped. `match_values`: those of the first match
    field, as digests. If it `is_outside` the scope of the route, it is not mapped.
    """

    entity_id: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    match_values: Sequence[bytes] = ()
    code: str = ""
    is_outside: bool = False


@dataclass(slots=True)
class PageResult:
    """What a page found. `found_ids`: keys of the snapshot's rows whose entity was found, `linked_ids`: ids of records
    outside of it whose entity was found.
    """

    differences: FoundDifferences = field(default_factory=FoundDifferences)
    found_ids: list[int] = field(default_factory=list)
    linked_ids: list[str] = field(default_factory=list)
    first_values: set[str] = field(default_factory=set)


@dataclass(slots=True)
class EntityPageComparer:
    """Compares the entities of one page. `is_whole`: the snapshot has all records of the target."""

    run: ComparisonRun
    fields: ComparedFields
    is_whole: bool
    result: PageResult = field(default_factory=PageResult)
    _candidates: dict[str, Difference] = field(default_factory=dict)
    _links: Mapping[str, EntityLink] = field(default_factory=dict)
    _by_record: Mapping[str, ComparisonRecord] = field(default_factory=dict)
    _by_external_id: Mapping[bytes, list[ComparisonRecord]] = field(default_factory=dict)
    _by_value: Mapping[bytes, list[ComparisonRecord]] = field(default_factory=dict)
    _owners: Mapping[str, list[RecordOwner]] = field(default_factory=dict)

    def compare(self, items: Sequence[tuple[str, Entity | ConnectorError | None]]) -> PageResult:
        """Compare the entities of a page, each with its id: an error if it could not be read, None if it was deleted
        since.
        """
        listed = [(entity_id, item) for entity_id, item in items if is_entity_id(entity_id)]
        self.result.differences.counts[DifferenceKind.UNMAPPABLE] += len(items) - len(listed)
        self._links = self._read_links([entity_id for entity_id, _ in listed])
        mapped = self._map_entities([item for _, item in listed if isinstance(item, Entity)])
        self._read_snapshot(mapped)
        for entity_id, item in listed:
            if item is None:
                continue
            self._note_found(entity_id)
            if isinstance(item, ConnectorError):
                self._add(DifferenceKind.UNREADABLE, entity_id, self._linked_id(entity_id), item.code)
        linked = [one for one in mapped if one.entity_id in self._links]
        current = self._read_missing_records(linked)
        for entity in mapped:
            self._compare_entity(entity, current)
        self._store_candidates()
        return self.result

    def _read_links(self, entity_ids: Collection[str]) -> dict[str, EntityLink]:
        links = Link.objects.filter(**self._pair(), entity_id__in=entity_ids).exclude(record_id="")
        columns = ("entity_id", "record_id", "unkept_fields", "write_counts", "left_scope_at")
        return {
            entity_id: EntityLink(record_id, unkept_of(counts) if unkept else (), left_at is not None)
            for entity_id, record_id, unkept, counts, left_at in links.values_list(*columns)
        }

    def _pair(self) -> dict[str, Any]:
        comparison = self.run.comparison
        return {
            "identity": comparison.identity_id,
            "entity_type": comparison.entity_type,
            "target": comparison.target_id,
        }

    def _linked_id(self, entity_id: str) -> str:
        link = self._links.get(entity_id)
        return link.record_id if link else ""

    def _map_entities(self, entities: Sequence[Entity]) -> list[MappedEntity]:
        inside, mapped = self._split_by_scope(entities)
        find_records = self._page_finder(inside)
        match_field = match_field_of(self.run)
        for entity in inside:
            try:
                mapped.append(self._map_entity(entity, find_records, match_field))
            except EntityNotMappable as error:
                mapped.append(MappedEntity(entity.id, code=_code_of(error)))
        return mapped

    def _split_by_scope(self, entities: Sequence[Entity]) -> tuple[Sequence[Entity], list[MappedEntity]]:
        """Return the entities in the scope of the route, and the others: outside, or of which the condition does not
        say it.
        """
        condition = self.run.resolved.route.condition
        if not condition:
            return entities, []
        inside, others = [], []
        for entity in entities:
            try:
                if in_scope(condition, entity.attributes):
                    inside.append(entity)
                else:
                    others.append(MappedEntity(entity.id, is_outside=True))
            except ConditionFailed as error:
                others.append(MappedEntity(entity.id, code=_code_of(error)))
        return inside, others

    def _page_finder(self, entities: Sequence[Entity]) -> FindRecords:
        """Return a function that finds the records of the entities that those of the page refer to, which it reads
        together.
        """
        mapping, comparison = self.run.mapping.of_entity, self.run.comparison
        find_records = record_finder(comparison.identity_id, comparison.target_id)
        if not mapping.reference_types:
            return find_records
        wanted: set[Reference] = set()
        for entity in entities:
            lookup = ReferenceLookup()
            try:
                mapping.map_entity(entity.attributes, {}, lookup)
            except EntityNotMappable:
                # Mapped again below, where its code is noted.
                continue
            wanted |= lookup.unknown
        known = find_records(frozenset(wanted)) if wanted else {}

        def find(references: frozenset[Reference]) -> Mapping[Reference, str]:
            further = references - wanted
            return {**known, **(find_records(further) if further else {})}

        return find

    def _map_entity(self, entity: Entity, find_records: FindRecords, match_field: str | None) -> MappedEntity:
        mapping, resolved = self.run.mapping.of_entity, self.run.resolved
        # The wait for records that are missing is over, as it is where a candidate is planned again.
        mapped = map_with_references(mapping, entity.attributes, {}, find_records, is_wait_over=True)
        fields = self._without_unseen(entity, mapped.fields, resolved)
        values = (
            [
                one.value
                for one in mapping.new_values(entity.attributes, {}, fields)
                if one.field == match_field
            ]
            if match_field
            else []
        )
        return MappedEntity(entity.id, fields, self.fields.digest_texts("match", values))

    def _without_unseen(
        self, entity: Entity, fields: Mapping[str, Any], resolved: ResolvedRoute
    ) -> Mapping[str, Any]:
        names = resolved.unseen_fields & self.run.mapping.of_entity.fields.keys()
        if not names:
            return fields
        unseen = look_up_unseen(self.run.mapping.of_entity, names, entity.attributes, {})
        self.result.first_values |= unseen.found
        absent = {name for name in unseen.absent if fields.get(name, "") is None}
        return {name: value for name, value in fields.items() if name not in absent}

    def _read_snapshot(self, entities: Sequence[MappedEntity]) -> None:
        """Read the rows of the snapshot that may be those of the page's entities, and their owners: four statements."""
        rows = ComparisonRecord.objects.filter(comparison=self.run.comparison)
        record_ids = [link.record_id for link in self._links.values()]
        self._by_record = {row.record_id: row for row in rows.filter(record_id__in=record_ids)}
        unlinked = [one for one in entities if one.entity_id not in self._links]
        external_ids = self.fields.digest_texts("external-id", (one.entity_id for one in unlinked))
        if self.run.mapping.match.external_id and external_ids:
            self._by_external_id = _group(rows.filter(external_id__in=external_ids), "external_id")
        values = [value for one in unlinked for value in one.match_values]
        if values:
            self._by_value = _group(rows.filter(match_value__in=values), "match_value")
        found = [
            row
            for group in (self._by_external_id, self._by_value)
            for rows_ in group.values()
            for row in rows_
        ]
        if found:
            self._owners = read_owners(self.run, {row.record_id for row in found})

    def _note_found(self, entity_id: str) -> None:
        """Note that the entity of a linked record was found, whatever becomes of it."""
        link = self._links.get(entity_id)
        if link is None:
            return
        row = self._by_record.get(link.record_id)
        if row is None:
            self.result.linked_ids.append(link.record_id)
        else:
            self.result.found_ids.append(row.pk)

    def _read_missing_records(
        self, linked: Iterable[MappedEntity]
    ) -> dict[str, Record | ConnectorError | None]:
        """Read the linked records that the snapshot of an incomplete target lacks, one request each.

        Raises ComparisonFailed if the target refuses all of them, and ReadsWait if it answers none.
        """
        if self.is_whole:
            return {}
        target, target_type = self.run.target, self.run.resolved.target_type
        wanted: dict[str, None] = {}
        for entity in linked:
            link = self._links[entity.entity_id]
            row = self._by_record.get(link.record_id)
            is_compared = not entity.code and (not entity.is_outside or self._deactivates_leavers)
            if is_compared and (row is None or row.fields is None):
                wanted[link.record_id] = None
        try:
            found = read_items(list(wanted), lambda record_id: target.get_record(target_type, record_id))
        except CredentialsRefused as error:
            raise ComparisonFailed(error.code) from error
        except ConnectorError as error:
            raise ReadsWait(error.code, error.retry_after or RETRY_SECONDS) from error
        return dict(zip(wanted, found, strict=True))

    def _compare_entity(
        self, entity: MappedEntity, current: Mapping[str, Record | ConnectorError | None]
    ) -> None:
        link = self._links.get(entity.entity_id)
        if entity.code:
            self._add(
                DifferenceKind.UNMAPPABLE, entity.entity_id, self._linked_id(entity.entity_id), entity.code
            )
        elif entity.is_outside:
            self._compare_outside(entity, link, current)
        elif link is None:
            self._compare_unlinked(entity)
        elif link.has_left and self.run.resolved.route.reactivation:
            # It came back: its record may have all mapped values, and lack the others.
            self._add(DifferenceKind.DIFFERS, entity.entity_id, link.record_id)
        elif link.record_id in current:
            self._compare_read(entity, link, current[link.record_id])
        else:
            self._compare_linked(entity, link, self._by_record.get(link.record_id))

    @property
    def _deactivates_leavers(self) -> bool:
        return self.run.resolved.route.on_leaving == Route.LeavingPolicy.DEACTIVATE

    def _compare_outside(
        self,
        entity: MappedEntity,
        link: EntityLink | None,
        current: Mapping[str, Record | ConnectorError | None],
    ) -> None:
        """Compare an entity outside the scope of the route: its record has to be as the route says of who left."""
        if link is None:
            own_id = self.fields.digest_text("external-id", entity.entity_id) or b""
            self.result.found_ids += [row.pk for row in self._by_external_id.get(own_id, [])]
            self._add(DifferenceKind.OUT_OF_SCOPE, entity.entity_id, "", OUT_OF_SCOPE_CODE)
        elif isinstance(record := current.get(link.record_id), ConnectorError):
            self._add(DifferenceKind.UNREADABLE, entity.entity_id, link.record_id, record.code)
        elif self._has_left_already(entity, link, record):
            self.result.differences.counts[ComparisonCount.IN_STEP_REMOVED] += 1
        else:
            self._add(DifferenceKind.DIFFERS, entity.entity_id, link.record_id, OUT_OF_SCOPE_CODE)

    def _has_left_already(self, entity: MappedEntity, link: EntityLink, record: Record | None) -> bool:
        """True if the record of an entity outside is as the route says. `record`: as it was read now, None if not."""
        if not self._deactivates_leavers:
            return self.run.resolved.route.on_leaving == Route.LeavingPolicy.LEAVE
        if record is not None:
            is_done, own_id = (
                is_deactivated(record, readable_deactivation(self.run)),
                self._external_id_of(record),
            )
        else:
            row = self._by_record.get(link.record_id)
            is_done, own_id = (False, None) if row is None else (row.is_deactivated, _external_id_in(row))
        return is_done and self._has_own_id(entity, own_id)

    def _compare_linked(self, entity: MappedEntity, link: EntityLink, row: ComparisonRecord | None) -> None:
        if row is None:
            self._add(DifferenceKind.MISSING_RECORD, entity.entity_id, link.record_id)
        elif row.fields is None or not self._is_equal(entity, row, link.unkept):
            self._add(DifferenceKind.DIFFERS, entity.entity_id, link.record_id)
        else:
            self._add_in_step()

    def _compare_read(
        self, entity: MappedEntity, link: EntityLink, record: Record | ConnectorError | None
    ) -> None:
        if isinstance(record, ConnectorError):
            self._add(DifferenceKind.UNREADABLE, entity.entity_id, link.record_id, record.code)
        elif record is None:
            self._add(DifferenceKind.MISSING_RECORD, entity.entity_id, link.record_id)
        else:
            digests = self.fields.digest_record(record.fields, link.unkept)
            is_equal = self.fields.is_equal(digests, entity.fields, link.unkept)
            if is_equal and self._has_own_id(entity, self._external_id_of(record)):
                self._add_in_step()
            else:
                self._add(DifferenceKind.DIFFERS, entity.entity_id, link.record_id)

    def _external_id_of(self, record: Record) -> bytes | None:
        name = self.run.mapping.match.external_id
        return self.fields.digest_text("external-id", record.fields.get(name)) if name else None

    def _is_equal(self, entity: MappedEntity, row: ComparisonRecord, unkept: tuple[str, ...]) -> bool:
        return self._has_own_id(entity, _external_id_in(row)) and self.fields.is_equal(
            bytes(row.fields or b""), entity.fields, unkept
        )

    def _has_own_id(self, entity: MappedEntity, external_id: bytes | None) -> bool:
        """True if a record bears no other external id than that of the entity."""
        return external_id is None or external_id == self.fields.digest_text("external-id", entity.entity_id)

    def _compare_unlinked(self, entity: MappedEntity) -> None:
        own_id = self.fields.digest_text("external-id", entity.entity_id) or b""
        by_id = [row for row in self._by_external_id.get(own_id, []) if not self._is_of_namesake(entity, row)]
        if by_id:
            self.result.found_ids += [row.pk for row in by_id]
            row = by_id[0]
            is_certain = len(by_id) == 1 and not self._owners.get(row.record_id)
            if is_certain and row.fields is not None and self._is_equal(entity, row, ()):
                self._add_in_step()
            else:
                self._add(DifferenceKind.DIFFERS, entity.entity_id, row.record_id)
            return
        rows = [row for value in entity.match_values for row in self._by_value.get(value, [])]
        unowned = [row for row in rows if self._may_match(entity, row)]
        self.result.found_ids += [row.pk for row in unowned]
        kind = DifferenceKind.FOUND_BY_VALUE if unowned else DifferenceKind.MISSING_RECORD
        self._add(kind, entity.entity_id, unowned[0].record_id if unowned else "")

    def _is_of_namesake(self, entity: MappedEntity, row: ComparisonRecord) -> bool:
        """True if a record is linked to an entity of another service, or type, with the same id."""
        owners = self._owners.get(row.record_id, [])
        return any(owner.entity_id.casefold() == entity.entity_id.casefold() for owner in owners)

    def _may_match(self, entity: MappedEntity, row: ComparisonRecord) -> bool:
        external_id = _external_id_in(row)
        return not self._owners.get(row.record_id) and self._has_own_id(entity, external_id)

    def _add_in_step(self) -> None:
        self.result.differences.counts[ComparisonCount.IN_STEP] += 1

    def _add(self, kind: DifferenceKind, entity_id: str, record_id: str, code: str = "") -> None:
        comparison = self.run.comparison
        self._candidates[entity_id] = Difference(
            comparison=comparison,
            kind=kind,
            entity_id=entity_id,
            record_id=record_id,
            code=code[:48],
            since=comparison.started_at or comparison.requested_at,
        )

    def _store_candidates(self) -> None:
        """Keep the candidates as rows, but for those of subjects that are in delivery or were erased, and for entities
        that the route is not for beyond a sample.
        """
        found, kept = self.result.differences, []
        add_candidates(self.run, found, self._candidates.values())
        before = self.run.comparison.counts.get(DifferenceKind.OUT_OF_SCOPE, 0)
        for row in found.rows:
            if row.kind == DifferenceKind.OUT_OF_SCOPE:
                row.status = DifferenceStatus.CONFIRMED
                found.counts[DifferenceKind.OUT_OF_SCOPE] += 1
                if before + found.counts[DifferenceKind.OUT_OF_SCOPE] > SAMPLE_SIZE:
                    continue
            kept.append(row)
        found.rows = kept


def add_candidates(run: ComparisonRun, found: FoundDifferences, candidates: Iterable[Difference]) -> None:
    """Add candidates with an entity: one whose delivery waits or runs is only counted, and so is one that was erased
    and is not known again.
    """
    rows = list(candidates)
    if not rows:
        return
    states = read_subject_states(run.comparison, [row.entity_id for row in rows])
    for row in rows:
        if row.entity_id in states.in_delivery:
            found.counts[ComparisonCount.IN_DELIVERY] += 1
        elif row.entity_id in states.erased:
            found.counts[str(row.kind)] += 1
        else:
            row.delivery_state, code = states.stopped.get(row.entity_id, ("", ""))
            row.code = row.code or code
            found.rows.append(row)


def read_owners(run: ComparisonRun, record_ids: Collection[str]) -> dict[str, list[RecordOwner]]:
    """Return the entities that are linked to each record, of any identity service and under any name of its type."""
    comparison = run.comparison
    subject = Delivery(
        identity_id=comparison.identity_id,
        target_id=comparison.target_id,
        entity_type=comparison.entity_type,
    )
    links = Link.objects.filter(
        target=comparison.target_id, record_id__in=record_ids, entity_type__in=types_of_same_target(subject)
    )
    owners: dict[str, list[RecordOwner]] = defaultdict(list)
    columns = ("record_id", "identity_id", "entity_type", "entity_id")
    for record_id, identity_id, entity_type, entity_id in links.values_list(*columns):
        owners[record_id].append(RecordOwner(identity_id, entity_type, entity_id))
    return owners


def _external_id_in(row: ComparisonRecord) -> bytes | None:
    return None if row.external_id is None else bytes(row.external_id)


def _code_of(error: EntityNotMappable) -> str:
    return next((code for kind, code in _UNMAPPABLE_CODES.items() if isinstance(error, kind)), "unmappable")


def _group(rows: Iterable[ComparisonRecord], column: str) -> dict[bytes, list[ComparisonRecord]]:
    groups: dict[bytes, list[ComparisonRecord]] = defaultdict(list)
    for row in rows:
        groups[bytes(getattr(row, column))].append(row)
    return groups
