"""Read the entities of a try: the list of the identity service page by page, or else those that were stored last."""

from collections.abc import Iterator
from itertools import islice

from connectors.contracts.errors import ConnectorError
from sync.comparisons.sides.list_reading import ListEnded, handle_list_error, read_listed_entities
from sync.mappings.past_entities import UntestableReason, past_event_chunks
from sync.models import Route, TriedEntities
from sync.scope_tries.tried_page import ReadEntity, try_entities
from sync.scope_tries.try_run import ConditionTryRun, TryFailed

MAX_STORED = 1_000
_CHUNK_SIZE = 50
_PASSED_REASONS = (UntestableReason.ERASED, UntestableReason.DELETED)


def read_entities(run: ConditionTryRun) -> None:
    """Try all entities of the list, or without a list the last MAX_STORED ones that are stored.

    Raises ReadsWait, TryFailed, ConnectorError, JobLost, JobStopped.
    """
    if run.open_identity().list_facts(run.row.identity_type) is None:
        _read_stored(run)
    else:
        while _read_page(run):
            pass


def _read_page(run: ConditionTryRun) -> bool:
    """Try the next page of the list. Returns False after the last one."""
    row, identity = run.row, run.open_identity()
    facts = identity.list_facts(row.identity_type)
    if facts is None:
        # The settings were changed meanwhile.
        raise TryFailed("no-list")
    try:
        page = identity.read_entity_page(row.identity_type, row.position)
        items = read_listed_entities(identity, row.identity_type, page, is_whole=facts.has_whole_items)
    except ConnectorError as error:
        _handle_error(run, error)
        return True
    tried = try_entities(run, items)
    read = row.read_count + len(items)
    is_short = page.total is not None and read < page.total
    run.store_page(
        tried,
        position=page.next,
        total_count=page.total if page.total is not None else row.total_count,
        is_complete=page.next is None and facts.is_complete and read > 0 and not is_short,
    )
    return page.next is not None


def _handle_error(run: ConditionTryRun, error: ConnectorError) -> None:
    try:
        handle_list_error(run, error)
    except ListEnded as ended:
        # Of the rest nothing is known.
        raise TryFailed(ended.code) from error


def _read_stored(run: ConditionTryRun) -> None:
    """Try the entities of the newest events. A run that was interrupted begins anew: they are few, and stored here."""
    run.begin(TriedEntities.STORED)
    entities = islice(_stored_entities(run), MAX_STORED)
    while chunk := list(islice(entities, _CHUNK_SIZE)):
        run.store_page(try_entities(run, chunk))


def _stored_entities(run: ConditionTryRun) -> Iterator[tuple[str, ReadEntity]]:
    """Iterate over the entities that were stored last, each once with its newest state; then those of which none is
    stored any more.
    """
    row = run.row
    routes = Route.objects.filter(identity=row.identity_id, entity_type=row.entity_type, relays=False)
    known: set[str] = set()
    unreadable: dict[str, str] = {}
    for chunk in past_event_chunks(list(routes.select_related("source", "identity", "target"))):
        run.require_running()
        run.renew_lease()
        for past in chunk:
            entity_id = past.event.entity_id
            if entity_id in known:
                continue
            if past.mapping_input is not None:
                known.add(entity_id)
                yield entity_id, past.mapping_input.entity
            elif past.reason in _PASSED_REASONS:
                known.add(entity_id)
            else:
                unreadable.setdefault(entity_id, str(past.reason))
    yield from ((entity_id, reason) for entity_id, reason in unreadable.items() if entity_id not in known)
