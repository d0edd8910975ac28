"""An identity service that answers REST requests in JSON, described by its settings."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sync.connectors.client.client import GONE, Asked, HttpClient
from sync.connectors.contracts.types import ABSENT, REFUSALS_OF_ABSENT, Entity, Sampled, users_first
from sync.connectors.settings.identity import EntityPath, Listing, Settings
from sync.connectors.values.json_answers import UnreadableError, as_id, as_object, as_text
from sync.connectors.values.timestamps import as_moment


class RestIdentity:
    """`contracts.types.IdentityConnector` over HTTP."""

    def __init__(self, client: HttpClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    def fetch(self, entity_type: str, entity_id: str) -> Entity | None:
        """The entity as it is now, None where it is gone. An answer about another entity is Garbled."""
        known = self._known(entity_type)
        asked = Asked("fetch", "GET", known.path, values={"id": entity_id}, query=known.query, tolerated=GONE)
        answer = self._client.ask(asked)
        if answer.status in GONE:
            return None
        found = known.record.find(self._client.read(asked, answer))
        entity = self._entity(asked, entity_type, known, found)
        if entity.id != entity_id:
            raise self._client.garbled(asked, "the answer is about another entity")
        return entity

    def list_entities(self, entity_type: str, *, skip: int = 0, most_pages: int = 100) -> Iterator[Entity]:
        """The entities of a type after the first `skip`, each once; one request a page, as it is wanted.

        Ends at the total that the service gives, at a page that brings nothing new (it is past the end, or
        the service ignores where a page starts), and after `most_pages`. Unsafe where no list is configured.
        """
        known = self._known(entity_type)
        if known.listing is None:
            raise self._client.unsafe("no list is configured for this entity type")
        return self._walk(entity_type, known, known.listing, skip, most_pages)

    def prove(self) -> float | None:
        """See `contracts.types.Testable`."""
        return self._client.prove()

    def sample(self) -> Sampled:
        """One entity of the first list that is configured; without a list, an entity that is not there."""
        entities = users_first(self._settings.entities)
        for entity_type, known in entities:
            if known.listing is not None:
                page, _ = self._page(entity_type, known, replace(known.listing, size=1), 0)
                return Sampled(f"GET {known.listing.path}", len(page))
        known = entities[0][1]
        asked = Asked("fetch", "GET", known.path, {"id": ABSENT}, known.query, tolerated=REFUSALS_OF_ABSENT)
        self._client.ask(asked)
        return Sampled(asked.label)

    def _walk(
        self, entity_type: str, known: EntityPath, listing: Listing, position: int, most_pages: int
    ) -> Iterator[Entity]:
        seen: set[str] = set()
        for _ in range(most_pages):
            page, total = self._page(entity_type, known, listing, position)
            fresh = {entity.id: entity for entity in page if entity.id not in seen}
            yield from fresh.values()
            seen.update(fresh)
            # By what came, not by what was asked for: a service may have a smaller page of its own.
            position += len(page)
            if not fresh or (total is not None and position >= total):
                return

    def _page(
        self, entity_type: str, known: EntityPath, listing: Listing, position: int
    ) -> tuple[list[Entity], int | None]:
        """The entities from a position on, and how many there are in all, where the service says so."""
        place = {listing.start: str(listing.first + position), listing.count: str(listing.size)}
        asked = Asked("list", "GET", listing.path, query={**listing.query, **place})
        body = self._client.read_any(asked, self._client.ask(asked))
        found = listing.results.find(body)
        if not isinstance(found, list):
            raise self._client.garbled(asked, "a list was expected")
        total = listing.total.find(body) if listing.total else None
        known_total = total if isinstance(total, int) and not isinstance(total, bool) else None
        return [self._entity(asked, entity_type, known, one) for one in found], known_total

    def _known(self, entity_type: str) -> EntityPath:
        known = self._settings.entities.get(entity_type.upper())
        if known is None:
            raise self._client.unsafe("no path is configured for this entity type")
        return known

    def _entity(self, asked: Asked, entity_type: str, known: EntityPath, value: Any) -> Entity:
        try:
            attributes = as_object(value)
            found = as_id(known.id.find(attributes))
        except UnreadableError as unreadable:
            raise self._client.garbled(asked, str(unreadable)) from None
        version = as_text(known.version.find(attributes)) if known.version else None
        version = version and version.replace("\0", "")
        modified_at = as_moment(known.modified.find(attributes)) if known.modified else None
        return Entity(entity_type.upper(), found, attributes, version, modified_at)
