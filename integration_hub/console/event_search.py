"""One search box that recognises what was pasted: a reference, the source's id of an event, an entity's id.

Equality only, each kind by its own index.
"""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from integration_hub.console.wording import code_words
from webhooks.models import Event, Receipt, Source
from webhooks.references import from_reference

_MOST = 100  # sources that use the same event id


@dataclass(frozen=True, slots=True)
class Found:
    """What a term was taken for. `condition` narrows the list of events; `sentence` says it to the person."""

    condition: Q
    sentence: str


def find_events(text: str) -> Found:
    """What `text` names, the most exact kind first. At most four statements, none of them a scan."""
    term = text.strip()
    if not term:
        return Found(Q(), "")
    return _by_reference(term) or _by_event_id(term) or _by_entity(term) or _nothing(term)


def _by_reference(term: str) -> Found | None:
    try:
        uuid = from_reference(term)
    except ValueError:
        return None
    if Event.objects.filter(uuid=uuid).exists():
        return Found(Q(uuid=uuid), "The event with this reference.")
    return _by_receipt(uuid)


def _by_receipt(uuid: UUID) -> Found | None:
    """A request without an event was told its own reference; of any other the event's page tells."""
    receipt = Receipt.objects.filter(uuid=uuid).select_related("source", "event").first()
    if receipt is None:
        return None
    if receipt.event is not None:
        return Found(Q(pk=receipt.event.pk), "The event of the request with this reference.")
    told = f"{receipt.status} “{code_words(receipt.code).title}”" if receipt.status else "nothing yet"
    when = f"{receipt.received_at:%Y-%m-%d %H:%M:%S} UTC"
    return Found(Q(pk__in=[]), f"A request of {receipt.source} that was no webhook, {when}. Told: {told}.")


def _by_event_id(term: str) -> Found | None:
    """The unique index begins with the source, and sources are few: all of them are named."""
    sources = list(Source.objects.values_list("pk", flat=True))
    known = Event.objects.filter(source_id__in=sources, event_id=term).values_list("pk", flat=True)
    keys = list(known[:_MOST])
    return Found(Q(pk__in=keys), "The event with this id at its source.") if keys else None


def _by_entity(term: str) -> Found | None:
    is_known = Event.objects.filter(entity_id=term).exists()
    return Found(Q(entity_id=term), f"Everything that happened to the entity {term}.") if is_known else None


def _nothing(term: str) -> Found:
    return Found(
        Q(pk__in=[]),
        f"Nothing found for “{term}”. Paste a whole reference, event id or entity id; parts do not match.",
    )
