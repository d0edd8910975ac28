"""Read the list of what changed page by page, and store the entities that have to be delivered.

Each page is a commit together with the place of the next one. The watermark moves only when the list was read to its
end: an error leaves it, and the next run goes on at the page that failed.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from connectors.contracts.errors import ConnectorError, PositionRefused
from connectors.contracts.types import EntityPage, ListFacts
from database.clock import read_clock
from sync.catch_up.catch_up_run import CatchUpRun
from sync.catch_up.handled_changes import find_unhandled
from sync.catch_up.list_place import (
    MAX_AGE,
    MAX_FAILURES,
    MAX_PASSES,
    MAX_RESTARTS,
    ListPlace,
    ServedPage,
    is_before,
    next_watermark,
)
from sync.models import CatchUpFailure, ChangedEntity
from webhooks.made_events import is_entity_id

# The list is not read further while so many entities wait.
MAX_WAITING = 100_000


class ListFailed(Exception):
    """The list cannot be read to its end in this run. `code`: why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read_changes(run: CatchUpRun) -> None:
    """Read the list to its end. Raises ListFailed, ReadsWait, JobLost, JobStopped."""
    waiting = ChangedEntity.objects.filter(catch_up=run.row).count()
    while run.row.position is not None and waiting < MAX_WAITING:
        waiting += _read_page(run, _stored_place(run) or _first_place(run))


def begin_place(run: CatchUpRun) -> ListPlace:
    """Return where a new run begins to read: at the page at which the one before it stopped, unless that is too old."""
    place = _stored_place(run)
    if place is None or timezone.now() - place.began_at >= MAX_AGE or place.failures >= MAX_FAILURES:
        return _first_place(run)
    return replace(place, restarts=0)


def _stored_place(run: CatchUpRun) -> ListPlace | None:
    """Return where the list is read further; None if nothing is stored, or what another version of the hub stored."""
    if run.row.position is None:
        return None
    try:
        return ListPlace.from_json(run.row.position)
    except (TypeError, ValueError, KeyError):
        return None


def _first_place(run: CatchUpRun) -> ListPlace:
    return ListPlace(run.row.watermark or run.row.created_at, timezone.now())


def _read_page(run: CatchUpRun, place: ListPlace) -> int:
    """Read one page and store what it has. Returns how many entities were stored."""
    run.require_running()
    if not run.routes:
        raise ListFailed(CatchUpFailure.NO_ROUTE)
    if not run.connection.is_enabled:
        raise ListFailed(CatchUpFailure.DISABLED)
    requested_at, run.served = timezone.now(), None
    try:
        identity = run.open_identity()
        facts = identity.list_facts(run.identity_type)
        if facts is None:
            raise ListFailed(CatchUpFailure.NO_LIST)
        page = identity.read_entity_page(run.identity_type, place.at, modified_since=place.since)
    except ConnectorError as error:
        _handle_error(run, place, error)
        return 0
    served = run.served or ServedPage(requested_at, timezone.now(), None)
    after = place.after_page(served, [one.modified_at for one in page.entities], page.total, page.next)
    return _store_page(run, page, facts, after, served)


def _handle_error(run: CatchUpRun, place: ListPlace, error: ConnectorError) -> None:
    """Begin the list again if its place was refused; else raise ListFailed."""
    is_refused = isinstance(error, PositionRefused)
    if is_refused and place.restarts < MAX_RESTARTS:
        again = place.begin_again(restarts=place.restarts + 1)
    else:
        again = place.begin_again() if is_refused else replace(place, failures=place.failures + 1)
    with transaction.atomic():
        run.commit(position=again.to_json())
    if not is_refused or place.restarts >= MAX_RESTARTS:
        raise ListFailed(error.code) from error


def _store_page(
    run: CatchUpRun, page: EntityPage, facts: ListFacts, place: ListPlace, served: ServedPage
) -> int:
    row = run.row
    # Changes from before the catch-up was switched on are left out, and ids that no event can have.
    starts_at = row.starts_at or row.created_at - timedelta(seconds=place.lag_seconds)
    changes = {
        entity.id: place.changed_by(entity.modified_at, served.received_at)
        for entity in page.entities
        if is_entity_id(entity.id) and not is_before(entity.modified_at, starts_at)
    }
    unhandled = find_unhandled(run.routes, changes)
    place = replace(place, failures=0)
    with transaction.atomic():
        _store_entities(run, {entity_id: changes[entity_id] for entity_id in unhandled})
        run.commit(
            starts_at=starts_at,
            listed=row.listed + len(page.entities),
            skipped=row.skipped + len(page.entities) - len(unhandled),
            position=place.to_json(),
        )
        failure = _end_pass(run, page, facts, place) if page.next is None else ""
    if failure:
        raise ListFailed(failure)
    return len(unhandled)


def _store_entities(run: CatchUpRun, changes: Mapping[str, datetime]) -> None:
    """Store entities, in the order of their ids, so that no two transactions wait for each other."""
    rows = [
        ChangedEntity(catch_up=run.row, entity_id=entity_id, changed_at=at)
        for entity_id, at in sorted(changes.items())
    ]
    ChangedEntity.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["catch_up", "entity_id"],
        update_fields=["changed_at"],
    )


def _end_pass(run: CatchUpRun, page: EntityPage, facts: ListFacts, place: ListPlace) -> str:
    """Move the watermark after the last page, or let the list be read again. Returns the code of a list that has not
    everything: then the next run reads it from its beginning.
    """
    row, is_short = run.row, page.total is not None and place.read < page.total
    is_uncertain = is_short or (facts.is_counted and place.pages > 1 and place.has_shifted)
    if is_uncertain and place.passes + 1 < MAX_PASSES:
        run.commit(position=place.begin_again(passes=place.passes + 1).to_json())
        return ""
    is_cut = not facts.is_complete and page.total is None and len(page.entities) >= facts.page_size
    if is_short or is_cut:
        run.commit(position=place.begin_again(passes=0).to_json())
        return CatchUpFailure.SHORT if is_short else CatchUpFailure.NOT_COMPLETE
    now = read_clock()
    elapsed = timedelta() if row.read_at is None else max(timedelta(), now - row.read_at)
    run.commit(
        watermark=next_watermark(place, row.watermark, elapsed),
        read_at=now,
        failing_since=None,
        failure="",
        position=None,
    )
    return ""
