"""One search box that recognises what was pasted: a reference, the source's id of an event, an entity's id, the key of
an attempt, the address of an event's page.

Equality only, each kind by its own index.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from django.db.models import Q

from sync.models import Attempt
from webhooks.catalogue.reference import from_reference
from webhooks.models import Event, Receipt, Source

_MOST = 100  # sources that use the same event id
_KEY = re.compile(r"([0-9a-f-]{36})-[0-9a-f]{16}", re.IGNORECASE)  # sync.attempts.apply.idempotency_key
_PAGE = re.compile(r"/event/([^/?#]+)/")


class Match(Enum):
    """What a search term turned out to be."""

    NOT_SEARCHED = "not searched"
    EVENT = "event"
    EVENT_PAGE = "event page"
    ATTEMPT_KEY = "attempt key"
    RECEIPT_OF_EVENT = "receipt of event"
    RECEIPT_WITHOUT_EVENT = "receipt without event"
    EVENT_ID = "event id"
    ENTITY = "entity"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Found:
    """What a term was taken for. `condition` narrows the list of events, `kind` is the word by which `found_again`
    knows it. `receipt`: the request that a reference names, where it has no event.
    """

    condition: Q
    match: Match
    kind: str
    term: str = ""
    receipt: Receipt | None = None


def find_events(text: str) -> Found:
    """What `text` names, the most exact kind first. At most six statements, none of them a scan."""
    term = text.strip()
    if not term:
        return Found(Q(), Match.NOT_SEARCHED, "")
    return _by_name(term) or _by_event_id(term) or _by_entity(term) or _nothing(term)


def found_again(kind: str, term: str) -> Found:
    """The same as when the term was first searched for: a later event cannot give it another meaning.

    Nothing for a kind that there is not.
    """
    return (_AGAIN[kind](term) if kind in _AGAIN else None) or _nothing(term)


def _by_reference(term: str) -> Found | None:
    uuid = _uuid_of(term)
    if uuid is None:
        return None
    if Event.objects.filter(uuid=uuid).exists():
        return Found(Q(uuid=uuid), Match.EVENT, "reference")
    return _by_receipt(uuid) or _by_attempt(uuid)


def _by_name(term: str) -> Found | None:
    """A reference, or the address of an event's page, which names the event by its reference or its key."""
    page = _PAGE.search(term)
    name = page[1] if page else term
    return _by_reference(name) or (_by_key(name) if page else None)


def _by_key(name: str) -> Found | None:
    is_key = name.isascii() and name.isdecimal() and len(name) < 19
    if not is_key or not Event.objects.filter(pk=int(name)).exists():
        return None
    return Found(Q(pk=int(name)), Match.EVENT_PAGE, "reference")


def _by_attempt(uuid: UUID) -> Found | None:
    """Each attempt has a key, which goes out with its requests: the other system's log may quote it."""
    event = Attempt.objects.filter(key=uuid).values_list("delivery__event", flat=True).first()
    return Found(Q(pk=event), Match.ATTEMPT_KEY, "reference") if event else None


def _uuid_of(term: str) -> UUID | None:
    """Of a reference, or of its other spelling in tables that were exported; of a key also with the digest of the
    change, as the other system got it.
    """
    sent = _KEY.fullmatch(term)
    term = sent[1] if sent else term
    try:
        return UUID(term) if len(term) == 36 else from_reference(term)
    except ValueError:
        return None


def _by_receipt(uuid: UUID) -> Found | None:
    """A request without an event was told its own reference; of any other the event's page tells."""
    receipt = Receipt.objects.filter(uuid=uuid).select_related("source", "event").first()
    if receipt is None:
        return None
    if receipt.event is not None:
        return Found(Q(pk=receipt.event.pk), Match.RECEIPT_OF_EVENT, "reference")
    return Found(Q(pk__in=[]), Match.RECEIPT_WITHOUT_EVENT, "reference", receipt=receipt)


def _by_event_id(term: str) -> Found | None:
    """The unique index begins with the source, and sources are few: all of them are named."""
    sources = list(Source.objects.values_list("pk", flat=True))
    known = Event.objects.filter(source_id__in=sources, event_id=term).values_list("pk", flat=True)
    keys = list(known[:_MOST])
    return Found(Q(pk__in=keys), Match.EVENT_ID, "event_id") if keys else None


def _by_entity(term: str) -> Found | None:
    is_known = Event.objects.filter(entity_id=term).exists()
    if not is_known:
        return None
    return Found(Q(entity_id=term), Match.ENTITY, "entity_id", term)


def _nothing(term: str) -> Found:
    return Found(Q(pk__in=[]), Match.NOTHING, "nothing", term)


_AGAIN: Mapping[str, Callable[[str], Found | None]] = {
    "reference": _by_name,
    "event_id": _by_event_id,
    "entity_id": _by_entity,
}
