"""Connector of an identity service with a JSON REST API, described by its settings."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sync.connectors.client.client import NOT_FOUND_STATUSES, ConnectorRequest, HttpClient
from sync.connectors.contracts.types import (
    ABSENT_ID,
    ABSENT_ID_STATUSES,
    Entity,
    SampleResult,
    sort_users_first,
)
from sync.connectors.settings.identity import EntitySettings, IdentitySettings, ListSettings
from sync.connectors.values.json_responses import UnreadableError, as_id, as_object, as_text
from sync.connectors.values.timestamps import parse_timestamp


class RestIdentityConnector:
    """`contracts.types.IdentityConnector` over HTTP."""

    def __init__(self, client: HttpClient, settings: IdentitySettings) -> None:
        self._client = client
        self._settings = settings

    def fetch_entity(self, entity_type: str, entity_id: str) -> Entity | None:
        """Return the entity as it is now, None if it is deleted. Raises UnreadableResponse for another
        entity.
        """
        known = self._entity_settings(entity_type)
        request = ConnectorRequest(
            "fetch",
            "GET",
            known.path,
            path_values={"id": entity_id},
            query=known.query,
            accepted_statuses=NOT_FOUND_STATUSES,
        )
        answer = self._client.send_request(request)
        if answer.status in NOT_FOUND_STATUSES:
            return None
        record = known.record_expression.evaluate(self._client.read_object(request, answer))
        entity = self._parse_entity(request, entity_type, known, record)
        if entity.id != entity_id:
            raise self._client.unreadable_error(request, "the response is about another entity")
        return entity

    def list_entities(self, entity_type: str, *, skip: int = 0, max_pages: int = 100) -> Iterator[Entity]:
        """Iterate over the entities of a type after the first `skip`, each once; each page is requested when
        it is needed.

        Stops at the total that the service states, at a page without new entities (past the end, or the
        service ignores the offset), and after `max_pages`. Raises UnsafeRequest if no list is configured.
        """
        known = self._entity_settings(entity_type)
        if known.list_settings is None:
            raise self._client.unsafe_error("no list is configured for this entity type")
        return self._iterate_pages(entity_type, known, known.list_settings, skip, max_pages)

    def renew_credentials(self) -> float | None:
        """Fetch new credentials and return their lifetime in seconds; None if only a real request can verify
        them.
        """
        return self._client.renew_credentials()

    def read_sample(self) -> SampleResult:
        """Read one entity of the first configured list; without a list, request an id that does not exist."""
        entities = sort_users_first(self._settings.entities)
        for entity_type, known in entities:
            if known.list_settings is not None:
                page, _ = self._fetch_page(entity_type, known, replace(known.list_settings, page_size=1), 0)
                return SampleResult(f"GET {known.list_settings.path}", len(page))
        known = entities[0][1]
        request = ConnectorRequest(
            "fetch", "GET", known.path, {"id": ABSENT_ID}, known.query, accepted_statuses=ABSENT_ID_STATUSES
        )
        self._client.send_request(request)
        return SampleResult(request.label)

    def _iterate_pages(
        self, entity_type: str, known: EntitySettings, listing: ListSettings, position: int, max_pages: int
    ) -> Iterator[Entity]:
        seen: set[str] = set()
        for _ in range(max_pages):
            page, total = self._fetch_page(entity_type, known, listing, position)
            fresh = {entity.id: entity for entity in page if entity.id not in seen}
            yield from fresh.values()
            seen.update(fresh)
            # Count the entities received, not the page size: a service may return smaller pages.
            position += len(page)
            if not fresh or (total is not None and position >= total):
                return

    def _fetch_page(
        self, entity_type: str, known: EntitySettings, listing: ListSettings, position: int
    ) -> tuple[list[Entity], int | None]:
        """Return one page of entities from a position on, and the total, None if the service does not state
        it.
        """
        place = {
            listing.offset_parameter: str(listing.first_offset + position),
            listing.count_parameter: str(listing.page_size),
        }
        request = ConnectorRequest("list", "GET", listing.path, query={**listing.query, **place})
        body = self._client.read_json(request, self._client.send_request(request))
        results = listing.results_expression.evaluate(body)
        if not isinstance(results, list):
            raise self._client.unreadable_error(request, "the response is not a list")
        total = listing.total_expression.evaluate(body) if listing.total_expression else None
        # In Python a boolean is an int too.
        known_total = total if isinstance(total, int) and not isinstance(total, bool) else None
        return [self._parse_entity(request, entity_type, known, one) for one in results], known_total

    def _entity_settings(self, entity_type: str) -> EntitySettings:
        known = self._settings.entities.get(entity_type.upper())
        if known is None:
            raise self._client.unsafe_error("no path is configured for this entity type")
        return known

    def _parse_entity(
        self, request: ConnectorRequest, entity_type: str, known: EntitySettings, value: Any
    ) -> Entity:
        try:
            attributes = as_object(value)
            entity_id = as_id(known.id_expression.evaluate(attributes))
        except UnreadableError as unreadable:
            raise self._client.unreadable_error(request, str(unreadable)) from None
        version = as_text(known.version_expression.evaluate(attributes)) if known.version_expression else None
        # PostgreSQL cannot store U+0000.
        version = version and version.replace("\0", "")
        modified_at = (
            parse_timestamp(known.modified_expression.evaluate(attributes))
            if known.modified_expression
            else None
        )
        return Entity(entity_type.upper(), entity_id, attributes, version, modified_at)
