"""Make events of the entities that a catch-up stored, the oldest change first: one for each route."""

from collections.abc import Iterable, Mapping, Sequence

from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from sync.catch_up.catch_up_run import CatchUpRun
from sync.catch_up.handled_changes import find_unhandled
from sync.deliveries.routes import ResolvedRoute
from sync.execution.executor import defer_to_workers
from sync.models import ChangedEntity
from sync.replays.made_events import make_events
from webhooks.made_events import EventMaker
from webhooks.models import EventOrigin, lock_or_create_keys

# Of one run, whatever the number of entities and routes.
MAX_EVENTS = 1_000
_BATCH = 100
_EVENT_TYPE = "UPDATE"


def make_due_events(run: CatchUpRun) -> None:
    """Make events until no entity is left, or the run has made MAX_EVENTS. Raises JobLost, JobStopped.

    Each batch is a commit: its events, the entities that are done, and the number of events of the run.
    """
    while run.row.made < MAX_EVENTS:
        run.require_running()
        oldest = ChangedEntity.objects.filter(catch_up=run.row).order_by("changed_at", "pk")
        rows = list(oldest[:_BATCH])
        if not (rows and run.routes):
            return
        unhandled = find_unhandled(run.routes, {row.entity_id: row.changed_at for row in rows})
        due = _within_limit(rows, unhandled, MAX_EVENTS - run.row.made)
        if not due:
            # The routes of one entity are more than the events that are left.
            return
        _make_batch(run, due, unhandled)


def _within_limit(
    rows: Sequence[ChangedEntity], unhandled: Mapping[str, Sequence[ResolvedRoute]], limit: int
) -> list[ChangedEntity]:
    """Return the first rows for which at most `limit` events are made."""
    due: list[ChangedEntity] = []
    for row in rows:
        limit -= len(unhandled.get(row.entity_id, ()))
        if limit < 0:
            break
        due.append(row)
    return due


def _make_batch(
    run: CatchUpRun, due: Sequence[ChangedEntity], unhandled: Mapping[str, Sequence[ResolvedRoute]]
) -> None:
    """Make the events of these entities in one commit. An entity that was erased meanwhile gets none."""
    rows = ChangedEntity.objects.filter(pk__in=[row.pk for row in due])
    entity_type = run.row.entity_type
    with transaction.atomic():
        # The keys first, as an erasure does: once they are locked, it has deleted its rows or waits for this commit.
        lock_or_create_keys(
            [
                (resolved.route.source_id, entity_type, row.entity_id)
                for row in due
                for resolved in unhandled.get(row.entity_id, ())
            ]
        )
        left = {row.entity_id for row in rows.select_for_update().order_by("pk")}
        # Oldest first, as the rows.
        due_routes = {row.entity_id: unhandled.get(row.entity_id, ()) for row in due if row.entity_id in left}
        made = _make_events(run.routes, due_routes)
        rows.delete()
        skipped = run.row.skipped + len(left - unhandled.keys())
        run.commit(made=run.row.made + made, skipped=skipped)


def _make_events(routes: Iterable[ResolvedRoute], unhandled: Mapping[str, Sequence[ResolvedRoute]]) -> int:
    """Make the events of each route. Returns how many."""
    entries: list[NewEntry] = []
    deliveries: list[int] = []
    maker = EventMaker(EventOrigin.CATCH_UP)
    for resolved in routes:
        types = {
            entity_id: _EVENT_TYPE
            for entity_id, left in unhandled.items()
            if any(one.route.pk == resolved.route.pk for one in left)
        }
        if types:
            made = make_events(resolved, types, maker)
            entries += made.entries
            deliveries += made.deliveries
    append_entries(*entries)
    defer_to_workers(deliveries)
    return len(entries)
