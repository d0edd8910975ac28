"""Find the person, group or file that a caller names: by an identifier, or by a value of its searchable fields.

Every lookup is exact and reads one index. Values are found by their digests: see `search_digests`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from django.db.models import Exists, OuterRef, QuerySet

from sync.models import Link, SearchDigest
from sync.planning.search_values import MAX_VALUE_LENGTH, normalize_value, split_name
from sync.search.event_search import SearchKind, list_entity_id_spellings, search_events
from sync.search.search_digests import digests_of_all_keys
from webhooks.models import Event, Receipt

MAX_TERM_LENGTH = 200
MAX_HITS = 20
# Of one id: its newest events have all the types under which it is known.
_MAX_EVENTS_READ = 200
_MAX_WORDS = 6
_MAX_COUNTED = 5_000
# Such a text may be a name, or an address, although an entity or a record has it as its id.
_MAY_BE_VALUE = re.compile(r"[^\W\d_]+|.*@.*")
_OF_ONE_EVENT = frozenset(
    {
        *(SearchKind.EVENT, SearchKind.EVENT_END, SearchKind.EVENT_PAGE, SearchKind.EVENT_ID),
        *(SearchKind.ATTEMPT_KEY, SearchKind.RECEIPT_OF_EVENT),
    }
)


class FoundBy(Enum):
    """The kind of text by which a person was found."""

    EVENT = "event"
    ENTITY = "entity"
    RECORD = "record"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Hit:
    """An entity that was found. `event`: the event that an identifier names. `is_former`: the entity has lost the value
    that was searched for.
    """

    entity_type: str
    entity_id: str
    found_by: FoundBy
    event: Event | None = None
    is_former: bool = False
    former_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hits:
    """What was found, at most `MAX_HITS`, current values before former ones. `receipt`: the request without an event
    that a reference names. `has_more`: there were more.
    """

    hits: tuple[Hit, ...] = ()
    receipt: Receipt | None = None
    has_more: bool = False

    @property
    def is_settled(self) -> bool:
        """Return True if a search by value would add nothing."""
        return self.receipt is not None or any(hit.event is not None for hit in self.hits)


def find_by_identifier(text: str, *, with_links: bool) -> Hits:
    """Find what an identifier names: a reference or its end, an event id, an entity id in any case, or a record id if
    `with_links`. At most twelve statements.
    """
    term = text.strip()[:MAX_TERM_LENGTH]
    if not term or "\0" in term:
        return Hits()
    match = search_events(term)
    if match.receipt is not None:
        return Hits(receipt=match.receipt)
    if match.match in _OF_ONE_EVENT:
        events = Event.objects.filter(match.condition).order_by("-received_at", "-id")[: MAX_HITS + 1]
        return _bounded(Hit(event.entity_type, event.entity_id, FoundBy.EVENT, event) for event in events)
    spellings = list_entity_id_spellings(term)
    entities = [*_entities_with_events(spellings), *(_linked_entities(spellings) if with_links else ())]
    hits = [Hit(entity_type, entity_id, FoundBy.ENTITY) for entity_type, entity_id in dict.fromkeys(entities)]
    return _bounded([*hits, *(_found_by_record(spellings) if with_links else ())])


def may_be_value(text: str, found: Hits) -> bool:
    """Return True if a text may be a value of a person beside what it was found to be as an identifier."""
    if found.is_settled:
        return False
    return not found.hits or _MAY_BE_VALUE.fullmatch(text.strip()) is not None


def find_by_value(text: str) -> Hits:
    """Find the entities that have or had a value in a searchable field; those that have all words of a name, if none
    has the whole. At most eight statements.
    """
    value = normalize_value(text[:MAX_VALUE_LENGTH])
    if not value or "\0" in value:
        return Hits()
    hits = _read_hits([value])
    words = list(dict.fromkeys(split_name(value)))[:_MAX_WORDS]
    return hits if hits.hits or len(words) < 2 else _read_hits(words)


def merge_hits(first: Hits, second: Hits) -> Hits:
    """Return the hits of both searches, each entity once."""
    merged = _bounded([*first.hits, *second.hits])
    return replace(
        merged, receipt=first.receipt, has_more=merged.has_more or first.has_more or second.has_more
    )


def _entities_with_events(ids: list[str]) -> Iterator[tuple[str, str]]:
    for entity_id in ids:
        newest = Event.objects.filter(entity_id=entity_id).order_by("-received_at", "-id")
        types = newest.values_list("entity_type", flat=True)[:_MAX_EVENTS_READ]
        yield from ((entity_type, entity_id) for entity_type in sorted(set(types)))


def _linked_entities(ids: list[str]) -> Iterator[tuple[str, str]]:
    links = Link.objects.filter(entity_id__in=ids).order_by("entity_id", "entity_type")
    yield from links.values_list("entity_type", "entity_id")[: MAX_HITS + 1]


def _found_by_record(ids: list[str]) -> Iterator[Hit]:
    links = Link.objects.filter(record_id__in=ids).order_by("record_id", "target")
    for entity_type, entity_id in links.values_list("entity_type", "entity_id")[: MAX_HITS + 1]:
        yield Hit(entity_type, entity_id, FoundBy.RECORD)


def _read_hits(values: list[str]) -> Hits:
    """Return the entities that have all of these normalized values. Of several, that of the fewest rows is read, and
    the others are looked up for each of them.
    """
    rarest, *others = sorted(values, key=_count_rows) if len(values) > 1 else values
    rows = _rows_of(rarest)
    for value in others:
        same = _rows_of(value).filter(subject=OuterRef("subject"))
        rows = rows.filter(Exists(same))
    # Twice as many: an entity has a row for each source and key.
    columns = ("entity_type", "entity_id", "superseded_at")
    found = list(rows.order_by("digest", "id").values_list(*columns)[: 2 * MAX_HITS + 1])
    found.sort(key=lambda row: row[2] is not None)
    hits = _bounded(
        Hit(entity_type, entity_id, FoundBy.VALUE, is_former=since is not None, former_since=since)
        for entity_type, entity_id, since in found
    )
    return replace(hits, has_more=hits.has_more or len(found) > 2 * MAX_HITS)


def _rows_of(value: str) -> QuerySet[SearchDigest]:
    return SearchDigest.objects.filter(digest__in=digests_of_all_keys(value))


def _count_rows(value: str) -> int:
    """Return how many rows have a value, up to a limit."""
    return _rows_of(value).order_by().values("pk")[:_MAX_COUNTED].count()


def _bounded(hits: Iterable[Hit]) -> Hits:
    """Return each entity once, or each event of one event id."""
    unique: dict[tuple[str, str, int | None], Hit] = {}
    for hit in hits:
        unique.setdefault((hit.entity_type, hit.entity_id, hit.event.pk if hit.event else None), hit)
    kept = tuple(unique.values())
    return Hits(kept[:MAX_HITS], has_more=len(kept) > MAX_HITS)
