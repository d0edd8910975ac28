"""Read the entities of the identity service page by page and compare each page: the second phase of a comparison.

After the end of the list come the records whose entity was not listed (`unlisted`).
"""

from typing import Any, NoReturn

from django.db import transaction

from connectors.contracts.errors import ConnectorError, CredentialsRefused
from connectors.contracts.types import EntityPage
from sync.background_reads.paced_recorder import RETRY_SECONDS, ReadsWait
from sync.comparisons.list_gaps import ComparisonFailure, ListGap, find_end_gap, last_complete_count
from sync.comparisons.sides.comparison_run import (
    ComparisonFailed,
    ComparisonRun,
)
from sync.comparisons.sides.entity_page import EntityPageComparer, PageResult
from sync.comparisons.sides.list_reading import (
    ListEnded,
    clear_side,
    handle_list_error,
    has_links,
    is_clearing,
    read_listed_entities,
)
from sync.comparisons.sides.unlisted import STAGES, compare_unlisted
from sync.deliveries.routes import record_first_values
from sync.models import ComparisonRecord, Difference


def walk_next_entities(run: ComparisonRun) -> None:
    """Compare the next page of entities, or of records that have none, or end the phase.

    Raises ReadsWait, ComparisonFailed, JobLost, JobStopped.
    """
    position = run.comparison.position or {}
    if is_clearing(run.comparison):
        _clear(run)
    elif position.get("stage") in STAGES:
        compare_unlisted(run)
    else:
        _walk_page(run, position)


def _clear(run: ComparisonRun) -> None:
    """Forget what the entities that were read have found."""
    comparison = run.comparison
    found = ComparisonRecord.objects.filter(comparison=comparison, is_found=True)
    found.exclude(fields=None).update(is_found=False)
    # The others are no records of the list: they only say that an entity was found.
    linked, differences = found.filter(fields=None), Difference.objects.filter(comparison=comparison)
    clear_side(run, linked, differences, read_entities=0, counts={}, unconfirmed={})


def _walk_page(run: ComparisonRun, position: dict[str, Any]) -> None:
    try:
        facts = run.identity.list_facts(run.resolved.identity_type)
        if facts is None:
            raise ComparisonFailed(ComparisonFailure.NO_LIST)
        page = run.identity.read_entity_page(run.resolved.identity_type, position.get("at"))
        items = read_listed_entities(
            run.identity, run.resolved.identity_type, page, is_whole=facts.has_whole_items
        )
        comparer = EntityPageComparer(run, run.compared_fields(), is_whole=not run.comparison.target_gap)
        result = comparer.compare(items)
    except ConnectorError as error:
        if position.get("at") is None:
            _fail_at_start(error)
        try:
            handle_list_error(run, error)
        except ListEnded as ended:
            _end_list(run, ended.code)
        return
    if result.first_values:
        # A commit of its own, as that of an attempt.
        record_first_values(run.resolved, result.first_values)
    _store_page(run, page, result, is_complete=facts.is_complete)


def _fail_at_start(error: ConnectorError) -> NoReturn:
    """Raise ReadsWait or ComparisonFailed: nothing of the identity service was read, so nothing is compared."""
    if error.retryable and not isinstance(error, CredentialsRefused):
        raise ReadsWait(error.code, error.retry_after or RETRY_SECONDS) from error
    raise ComparisonFailed(error.code) from error


def _store_page(run: ComparisonRun, page: EntityPage, result: PageResult, *, is_complete: bool) -> None:
    comparison, position = run.comparison, dict(run.comparison.position or {})
    read = comparison.read_entities + len(page.entities)
    position["rows"] = position.get("rows", 0) + result.differences.row_count
    with transaction.atomic():
        _mark_found(run, result)
        values: dict[str, Any] = {
            **result.differences.store(run),
            "read_entities": read,
            "total_entities": page.total if page.total is not None else comparison.total_entities,
        }
        if page.next is not None:
            run.commit(**values, position={**position, "at": page.next})
            return
        gap = _find_gap(run, read, page.total) if is_complete else ListGap.SAMPLE
        run.commit(**values, identity_gap=str(gap), position=_unlisted_position(position))


def _mark_found(run: ComparisonRun, result: PageResult) -> None:
    ComparisonRecord.objects.filter(pk__in=result.found_ids).update(is_found=True)
    rows = (
        ComparisonRecord(comparison=run.comparison, record_id=record_id, is_found=True)
        for record_id in dict.fromkeys(result.linked_ids)
    )
    # Of two entities with one record, or read twice.
    ComparisonRecord.objects.bulk_create(rows, ignore_conflicts=True)


def _find_gap(run: ComparisonRun, read: int, total: int | None) -> str:
    before = last_complete_count(run.comparison, "identity")
    return find_end_gap(
        run.comparison, read=read, total=total, before=before, is_linked=has_links(run.comparison)
    )


def _end_list(run: ComparisonRun, gap: str) -> None:
    position = dict(run.comparison.position or {})
    with transaction.atomic():
        run.commit(identity_gap=gap, position=_unlisted_position(position))


def _unlisted_position(position: dict[str, Any]) -> dict[str, Any]:
    return {"rows": position.get("rows", 0), "stage": STAGES[0], "after": 0}
