"""Search events by an identifier of any kind: reference or its end, event id of the source, entity id in any case,
attempt key, or address of an event's page.

Exact matches only, each kind by its own index.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from django.db.models import Q, Value
from django.db.models.functions import Lower

from config_schema.codes.reference import from_reference, has_end, uuid_end
from database.lookups.text_ends import UuidEnd
from sync.models import Attempt
from webhooks.models import IN_MIXED_CASE, OWN_REFERENCE, Event, Receipt, Source

# Several sources may use the same event id.
_MAX_EVENTS = 100
_MAX_SPELLINGS = 20
# As `sync.attempts.apply.idempotency_key` makes it.
_IDEMPOTENCY_KEY = re.compile(r"([0-9a-f-]{36})-[0-9a-f]{16}", re.IGNORECASE)
_EVENT_PAGE_PATH = re.compile(r"/event/([^/?#]+)/")


class SearchKind(Enum):
    """Kind of identifier that a search term was recognized as."""

    NOT_SEARCHED = "not searched"
    EVENT = "event"
    EVENT_END = "event end"
    EVENT_PAGE = "event page"
    ATTEMPT_KEY = "attempt key"
    RECEIPT_OF_EVENT = "receipt of event"
    RECEIPT_WITHOUT_EVENT = "receipt without event"
    RECEIPT_END = "receipt end"
    EVENT_ID = "event id"
    ENTITY = "entity"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class SearchMatch:
    """Result of a search. `condition` selects the events; `kind` is the argument of `repeat_search`.

    `receipt`: the request that a reference names, if it has no event.
    """

    condition: Q
    match: SearchKind
    kind: str
    term: str = ""
    receipt: Receipt | None = None


def search_events(text: str) -> SearchMatch:
    """Search for a text, the most specific kind first. At most nine statements, none of them a scan."""
    term = text.strip()
    if not term:
        return SearchMatch(Q(), SearchKind.NOT_SEARCHED, "")
    if "\0" in term:
        return _no_match(term)
    return (
        _match_reference_or_page(term)
        or _match_event_id(term)
        or _match_entity(term)
        or _match_entity_in_any_case(term)
        or _match_end(term)
        or _no_match(term)
    )


def repeat_search(kind: str, term: str) -> SearchMatch:
    """Repeat a search as the kind that it was first recognized as, so that later events cannot change its
    meaning.

    Matches nothing for an unknown kind.
    """
    return (_SEARCH_BY_KIND[kind](term) if kind in _SEARCH_BY_KIND else None) or _no_match(term)


def _match_reference(term: str) -> SearchMatch | None:
    uuid = _parse_uuid(term)
    if uuid is None:
        return None
    if Event.objects.filter(uuid=uuid).exists():
        return SearchMatch(Q(uuid=uuid), SearchKind.EVENT, "reference")
    return _match_receipt(uuid) or _match_attempt_key(uuid)


def _match_reference_or_page(term: str) -> SearchMatch | None:
    """Match a reference, or the address of an event's page, which contains a reference or a primary key."""
    page = _EVENT_PAGE_PATH.search(term)
    name = page[1] if page else term
    return _match_reference(name) or (_match_primary_key(name) if page else None)


def _match_primary_key(name: str) -> SearchMatch | None:
    # More digits may not fit into the column.
    is_key = name.isascii() and name.isdecimal() and len(name) < 19
    if not is_key or not Event.objects.filter(pk=int(name)).exists():
        return None
    return SearchMatch(Q(pk=int(name)), SearchKind.EVENT_PAGE, "reference")


def _match_attempt_key(uuid: UUID) -> SearchMatch | None:
    """Match an attempt's key, which is sent with its requests and may be quoted from the target's log."""
    event = Attempt.objects.filter(key=uuid).values_list("delivery__event", flat=True).first()
    return SearchMatch(Q(pk=event), SearchKind.ATTEMPT_KEY, "reference") if event else None


def _parse_uuid(term: str) -> UUID | None:
    """Parse the UUID of a reference, of its form in exported tables, or of an idempotency key as the target
    received it.
    """
    sent = _IDEMPOTENCY_KEY.fullmatch(term)
    term = sent[1] if sent else term
    try:
        return UUID(term) if len(term) == 36 else from_reference(term)
    except ValueError:
        return None


def _match_receipt(uuid: UUID) -> SearchMatch | None:
    """Match a receipt: a request without an event was answered with its own reference."""
    receipt = Receipt.objects.filter(uuid=uuid).select_related("source", "event").first()
    if receipt is None:
        return None
    if receipt.event is not None:
        return SearchMatch(Q(pk=receipt.event.pk), SearchKind.RECEIPT_OF_EVENT, "reference")
    return SearchMatch(Q(pk__in=[]), SearchKind.RECEIPT_WITHOUT_EVENT, "reference", receipt=receipt)


def _match_event_id(term: str) -> SearchMatch | None:
    """Match the source's event id. All sources are listed because the unique index begins with the source."""
    sources = list(Source.objects.values_list("pk", flat=True))
    known = Event.objects.filter(source_id__in=sources, event_id=term).values_list("pk", flat=True)
    keys = list(known[:_MAX_EVENTS])
    return SearchMatch(Q(pk__in=keys), SearchKind.EVENT_ID, "event_id") if keys else None


def _match_entity(term: str) -> SearchMatch | None:
    is_known = Event.objects.filter(entity_id=term).exists()
    return SearchMatch(Q(entity_id=term), SearchKind.ENTITY, "entity_id", term) if is_known else None


def _match_entity_in_any_case(term: str) -> SearchMatch | None:
    spellings = list_entity_id_spellings(term)
    if not Event.objects.filter(entity_id__in=spellings).exists():
        return None
    return SearchMatch(Q(entity_id__in=spellings), SearchKind.ENTITY, "any_case_entity_id", term)


def list_entity_id_spellings(term: str) -> list[str]:
    """Return the text as it is, in lower and in upper case, and at most 20 ids of entities that differ from it by case
    alone. One statement: only an id in mixed case has an entry in the index that it reads.
    """
    mixed = Event.objects.filter(IN_MIXED_CASE).alias(folded=Lower("entity_id"))
    # Neither DISTINCT nor a limit: PostgreSQL, without statistics of the expression, would read another index whole.
    known = mixed.filter(folded=Lower(Value(term))).order_by().values_list("entity_id", flat=True)
    differing = list(dict.fromkeys(known))[:_MAX_SPELLINGS]
    return list(dict.fromkeys([term, term.lower(), term.upper(), *differing]))


def _match_end(term: str) -> SearchMatch | None:
    """Match the end of a reference, as lists show it: that of an event, or of a request without one."""
    digits = uuid_end(term)
    if digits is None:
        return None
    ends = Event.objects.alias(end=UuidEnd("uuid")).filter(end=digits).order_by()
    keys = [pk for pk, uuid in ends.values_list("pk", "uuid")[:_MAX_EVENTS] if has_end(uuid, term)]
    if keys:
        return SearchMatch(Q(pk__in=keys), SearchKind.EVENT_END, "reference_end")
    receipts = Receipt.objects.filter(OWN_REFERENCE).alias(end=UuidEnd("uuid")).filter(end=digits)
    found = [
        row for row in receipts.select_related("source").order_by()[:_MAX_EVENTS] if has_end(row.uuid, term)
    ]
    if not found:
        return None
    return SearchMatch(Q(pk__in=[]), SearchKind.RECEIPT_END, "reference_end", receipt=found[0])


def _no_match(term: str) -> SearchMatch:
    return SearchMatch(Q(pk__in=[]), SearchKind.NOTHING, "nothing", term)


_SEARCH_BY_KIND: Mapping[str, Callable[[str], SearchMatch | None]] = {
    "reference": _match_reference_or_page,
    "reference_end": _match_end,
    "event_id": _match_event_id,
    "entity_id": _match_entity,
    "any_case_entity_id": _match_entity_in_any_case,
}
