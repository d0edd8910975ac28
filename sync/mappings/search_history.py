"""Store the digests by which people are found for entities that have had no event since: after a key or a searchable
field was added.

They are made of what is stored of the newest event of each entity whose data are still there, without a fetch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sync.deliveries.routes import ResolvedRoute, resolved_routes
from sync.mappings.past_entities import CHUNK_SIZE, PastEvent, read_past_events
from sync.planning.search_values import list_search_values
from sync.search.search_digests import DigestSet, store_digests
from webhooks.models import Event, SubjectKey, pseudonym

Subject = tuple[int, str, str]  # source, entity type, entity id


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """How far the digests are: the number of entities that were looked at and of those that were stored, and the oldest
    event that was read.
    """

    entities: int
    stored: int
    event: int


def digest_history(before: int | None = None) -> Iterator[SearchProgress]:
    """Walk through all events, newest first, or from the event with the key `before` on. Yields the progress after each
    chunk of 50 entities. An event that arrives meanwhile is newer, and wins.
    """
    routes = [route for route in resolved_routes().values() if route.search_rules]
    done: set[Subject] = set()
    stored = 0
    for chunk in _chunks(routes, done, before):
        for past in read_past_events(chunk, [resolved.route for resolved in routes]):
            if past.mapping_input is None:
                continue
            done.add(_subject_of(past.event))
            stored += _store(past, routes)
        yield SearchProgress(len(done), stored, chunk[-1])


def _chunks(routes: Sequence[ResolvedRoute], done: set[Subject], before: int | None) -> Iterator[list[int]]:
    """Yield the keys of events, at most 50, newest first: at most one of each entity that is not done."""
    wanted = {(resolved.route.source_id, resolved.route.entity_type) for resolved in routes}
    while True:
        events = Event.objects.order_by("-pk")
        rows = list(
            (events if before is None else events.filter(pk__lt=before)).values_list(
                "pk", "source", "entity_type", "entity_id"
            )[:CHUNK_SIZE]
        )
        if not rows:
            return
        before = rows[-1][0]
        newest: dict[Subject, list[int]] = {}
        for pk, source, entity_type, entity_id in rows:
            newest.setdefault((source, entity_type, entity_id), []).append(pk)
        # The next one of an entity is read only if nothing is stored of the one before.
        while newest:
            chunk = [
                keys.pop(0)
                for subject, keys in newest.items()
                if subject not in done and subject[:2] in wanted
            ]
            if not chunk:
                break
            yield chunk
            newest = {subject: keys for subject, keys in newest.items() if keys and subject not in done}


def _subject_of(event: Event) -> Subject:
    return event.source_id, event.entity_type, event.entity_id


def _store(past: PastEvent, routes: Sequence[ResolvedRoute]) -> bool:
    """Store the digests of one entity. Returns False if they are stored already, or its key was destroyed."""
    event, known = past.event, past.mapping_input
    key = SubjectKey.objects.filter(pseudonym=pseudonym(*_subject_of(event)), destroyed_at=None).first()
    same = [
        resolved
        for resolved in routes
        if (resolved.route.source_id, resolved.route.entity_type) == (event.source_id, event.entity_type)
    ]
    if key is None or known is None or not same:
        return False
    values = list_search_values(same[0].search_rules, known.entity, is_partial=known.is_partial)
    if values is None:
        return False
    digests = DigestSet.of_values(values)
    state = key.search_state or ""
    if digests.state == state:
        return False
    return store_digests(key, event.entity_type, event.entity_id, digests, only_from=state)
