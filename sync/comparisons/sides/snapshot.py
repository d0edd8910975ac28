"""Read the records of the target page by page, and store digests of them: the first phase of a comparison.

Each page is a commit together with the position of the next one. A list that is not complete, or cannot be read to its
end, leaves a gap: the second phase then reads the records that it lacks by their links.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import transaction

from connectors.contracts.errors import ConnectorError
from connectors.contracts.types import Record, RecordPage
from sync.comparisons.list_gaps import ListGap, find_end_gap, last_complete_count
from sync.comparisons.sides.comparison_run import ComparisonRun
from sync.comparisons.sides.digests import ComparedFields
from sync.comparisons.sides.list_reading import (
    ListEnded,
    clear_side,
    handle_list_error,
    has_links,
    is_clearing,
    read_items,
)
from sync.deliveries.record_links import RecordLink
from sync.models import ComparisonPhase, ComparisonRecord, Link, Route
from sync.planning.change import ChangeAction, plan_deleted_entity
from sync.planning.record_matching import MatchingPolicy
from sync.planning.unkept_fields import list_unkept

# Longer ones belong to no link.
MAX_RECORD_ID = 255
_DIGESTS = ("external_id", "match_value", "fields", "is_deactivated")


def match_field_of(run: ComparisonRun) -> str | None:
    """Return the field by whose value an unlinked record is looked for in the snapshot; None if there is none."""
    match = run.mapping.match
    if run.resolved.route.matching == MatchingPolicy.NEVER:
        return None
    return next(iter([*match.verified.new, *match.new]), None)


def read_next_records(run: ComparisonRun) -> None:
    """Read the next page of records and store it, or end the phase.

    Raises ReadsWait, ComparisonFailed, JobLost, JobStopped.
    """
    comparison = run.comparison
    if is_clearing(comparison):
        clear_side(run, ComparisonRecord.objects.filter(comparison=comparison), read_records=0)
        return
    facts = _list_facts(run)
    if facts is None:
        _end_records(run, ListGap.NO_LIST)
        return
    if not facts.is_complete:
        _end_records(run, ListGap.SAMPLE)
        return
    position = comparison.position or {}
    try:
        page = run.target.read_record_page(run.resolved.target_type, position.get("at"))
        records = page.records if facts.has_whole_items else _read_whole(run, page.records)
    except ConnectorError as error:
        try:
            handle_list_error(run, error)
        except ListEnded as ended:
            _end_records(run, ended.code)
        return
    _store_page(run, page, records)


def _list_facts(run: ComparisonRun) -> Any:
    try:
        return run.target.list_facts(run.resolved.target_type)
    except ConnectorError:
        # The settings lack the entity type: whatever needs it says so.
        return None


def _read_whole(run: ComparisonRun, records: Sequence[Record]) -> list[Record]:
    """Read each record by its id. Leaves out what was deleted since, and what alone cannot be read: its entity is then
    a candidate.
    """
    target, target_type = run.target, run.resolved.target_type
    found = read_items(records, lambda record: target.get_record(target_type, record.id))
    return [record for record in found if isinstance(record, Record)]


def _store_page(run: ComparisonRun, page: RecordPage, records: Sequence[Record]) -> None:
    comparison, fields = run.comparison, run.compared_fields()
    storable = {record.id: record for record in records if _is_storable(record.id)}
    rows = _make_rows(run, list(storable.values()), fields)
    read = comparison.read_records + len(page.records)
    total = page.total if page.total is not None else comparison.total_records
    with transaction.atomic():
        ComparisonRecord.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["comparison", "record_id"],
            update_fields=list(_DIGESTS),
        )
        values: dict[str, Any] = {"read_records": read, "total_records": total}
        if page.next is not None:
            position = {**(comparison.position or {}), "at": page.next, "optional": list(fields.optional)}
            run.commit(**values, position=position)
            return
        run.commit(**values, **_end_values(run, _find_gap(run, read, page.total), fields))


def _find_gap(run: ComparisonRun, read: int, total: int | None) -> str:
    before = last_complete_count(run.comparison, "target")
    return find_end_gap(
        run.comparison, read=read, total=total, before=before, is_linked=has_links(run.comparison)
    )


def _end_records(run: ComparisonRun, gap: str) -> None:
    with transaction.atomic():
        run.commit(**_end_values(run, gap, run.compared_fields()))


def _end_values(run: ComparisonRun, gap: str, fields: ComparedFields) -> dict[str, Any]:
    position = {"optional": list(fields.optional)}
    return {"phase": ComparisonPhase.ENTITIES, "position": position, "target_gap": str(gap)}


def _make_rows(
    run: ComparisonRun, records: Sequence[Record], fields: ComparedFields
) -> list[ComparisonRecord]:
    unkept = _unkept_fields(run, [record.id for record in records])
    external_id, match_field = run.mapping.match.external_id, match_field_of(run)
    deactivation = readable_deactivation(run)
    return [
        ComparisonRecord(
            comparison=run.comparison,
            record_id=record.id,
            external_id=fields.digest_text("external-id", record.fields.get(external_id))
            if external_id
            else None,
            match_value=fields.digest_text("match", record.fields.get(match_field)) if match_field else None,
            fields=fields.digest_record(record.fields, unkept.get(record.id, ())),
            is_deactivated=is_deactivated(record, deactivation),
        )
        for record in records
    ]


def _unkept_fields(run: ComparisonRun, record_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the fields that the target does not keep, by the record that is linked, in one statement."""
    comparison = run.comparison
    links = Link.objects.filter(
        target=comparison.target_id,
        record_id__in=record_ids,
        identity=comparison.identity_id,
        entity_type=comparison.entity_type,
    ).exclude(unkept_fields=None)
    return {
        record_id: unkept_of(counts) for record_id, counts in links.values_list("record_id", "write_counts")
    }


def unkept_of(write_counts: str | None) -> tuple[str, ...]:
    """Return the fields that the target does not keep, from the column of a link."""
    return list_unkept(RecordLink.from_columns("", None, write_counts, None).write_counts)


def readable_deactivation(run: ComparisonRun) -> Mapping[str, Any]:
    """Return the fields that mark a record as deactivated, if entities that were deleted or left the scope of the route
    get them; none if the target does not return all of them.
    """
    route = run.resolved.route
    fields = route.deactivation or {}
    if Route.DeletionPolicy.DEACTIVATE not in (route.when_deleted, route.on_leaving):
        return {}
    return {} if run.target.unread_fields(run.resolved.target_type, fields) else fields


def is_deactivated(record: Record, deactivation: Mapping[str, Any]) -> bool:
    """Return True if a record bears these fields; False for none."""
    if not deactivation:
        return False
    return plan_deleted_entity(record, deactivation, deletes=False).action is ChangeAction.NOTHING


def _is_storable(record_id: str) -> bool:
    return 0 < len(record_id) <= MAX_RECORD_ID and "\0" not in record_id
