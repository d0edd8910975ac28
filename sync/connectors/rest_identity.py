"""Connector of an identity service with a JSON REST API, described by its settings."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sync.connectors.access_proof import check_access_to_others
from sync.connectors.client.client import NOT_FOUND_STATUSES, ConnectorRequest, HttpClient
from sync.connectors.contracts.permissions import (
    Permission,
    PermissionAnswer,
    PermissionFinding,
    PermissionToCheck,
    RenewedCredentials,
)
from sync.connectors.contracts.types import (
    SAMPLE_SIZE,
    Access,
    Entity,
    SampleResult,
    sort_users_first,
)
from sync.connectors.permission_check import check_call, check_items
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
        record = self._client.evaluate(
            known.record_expression, request, self._client.read_object(request, answer)
        )
        entity = self._parse_entity(request, entity_type, known, record)
        if entity.id != entity_id:
            raise self._client.unreadable_error(request, "the response is about another entity")
        return entity

    def check_access(self, entity_type: str, entity_id: str, known_ids: Sequence[str]) -> Access:
        """Return whether the service gives other entities of this type than `entity_id` to these credentials."""
        known = self._entity_settings(entity_type)
        return check_access_to_others(
            entity_id,
            known_ids,
            is_readable=lambda known_id: self.fetch_entity(entity_type, known_id) is not None,
            list_ids=lambda: self._list_some_ids(entity_type, known),
            probe=lambda: self._client.can_send(known.probe),
        )

    def list_entities(self, entity_type: str, *, skip: int = 0, max_pages: int = 100) -> Iterator[Entity]:
        """Iterate over the entities of a type after the first `skip`, each once; each page is requested when
        it is needed.

        Stops at the total that the service states, at a page without new entities (past the end, or the
        service ignores the offset), and after `max_pages`. Raises UnsafeRequest if no list is configured.
        """
        known = self._entity_settings(entity_type)
        if known.list_settings is None:
            pointer = f"/entities/{entity_type.upper()}/list"
            raise self._client.not_configured_error(
                pointer, "The settings have no list for this entity type."
            )
        return self._iterate_pages(entity_type, known, known.list_settings, skip, max_pages)

    def renew_credentials(self) -> RenewedCredentials | None:
        """Fetch new credentials and describe them; None if only a real request can verify them."""
        return self._client.renew_credentials()

    def read_sample(self) -> SampleResult:
        """Read one entity of the first configured list by its own path; without a list, send the configured probe;
        without both, request an id that does not exist.

        Raises UnreadableResponse if the path of items does not give an entity that is listed.
        """
        entities = sort_users_first(self._settings.entities)
        for entity_type, known in entities:
            if known.list_settings is not None:
                return self._read_listed_entity(entity_type, known, known.list_settings)
        for _, known in entities:
            if known.probe is not None and self._client.can_send(known.probe):
                return SampleResult(f"GET {known.probe.path}")
        request = _absent_entity_request(entities[0][1])
        self._client.request_absent_item(request)
        return SampleResult(request.label, is_proof=False)

    def list_permissions(self) -> tuple[PermissionToCheck, ...]:
        """Return the permissions to read lists and entities, users first."""
        return tuple(
            PermissionToCheck(entity_type, permission)
            for entity_type, known in sort_users_first(self._settings.entities)
            for permission in _used_permissions(known)
        )

    def check_permission(self, entity_type: str, permission: Permission) -> PermissionFinding:
        """Find out if these credentials may read the list, or entities, of a type."""
        known = self._entity_settings(entity_type)
        pointer = f"/entities/{entity_type.upper()}"
        finding = PermissionFinding(entity_type, permission, PermissionAnswer.UNKNOWN)
        if permission == "list" and known.list_settings is not None:
            finding = replace(finding, call=f"GET {known.list_settings.path}", setting=f"{pointer}/list")
            return check_call(finding, lambda: self._list_some_ids(entity_type, known))
        return check_items(
            replace(finding, call=f"GET {known.path}", setting=f"{pointer}/path"),
            list_ids=lambda: self._list_some_ids(entity_type, known),
            is_readable=lambda entity_id: self.fetch_entity(entity_type, entity_id) is not None,
            request_absent_item=lambda: self._client.request_absent_item(_absent_entity_request(known)),
        )

    def probe_system(self) -> None:
        """Send the configured probe; else request the list, or an id that does not exist."""
        entities = sort_users_first(self._settings.entities)
        if any(self._client.can_send(known.probe) for _, known in entities):
            return
        if any(self._list_some_ids(entity_type, known) is not None for entity_type, known in entities):
            return
        known = entities[0][1]
        request = ConnectorRequest("fetch", "GET", known.path, query=known.query)
        self._client.request_absent_item(request)

    def _read_listed_entity(
        self, entity_type: str, known: EntitySettings, listing: ListSettings
    ) -> SampleResult:
        page, _ = self._fetch_page(entity_type, known, replace(listing, page_size=1), 0)
        if not page:
            return SampleResult(f"GET {listing.path}", 0)
        request = ConnectorRequest("fetch", "GET", known.path)
        if self.fetch_entity(entity_type, page[0].id) is None:
            raise self._client.unreadable_error(request, "a listed entity is not found by its own path")
        return SampleResult(request.label, len(page))

    def _list_some_ids(self, entity_type: str, known: EntitySettings) -> list[str] | None:
        """Return the ids of a few entities of the list; None if no list is configured."""
        if known.list_settings is None:
            return None
        listing = replace(known.list_settings, page_size=SAMPLE_SIZE)
        return [entity.id for entity in self._fetch_page(entity_type, known, listing, 0)[0]]

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
        results = self._client.evaluate(listing.results_expression, request, body)
        if not isinstance(results, list):
            raise self._client.unreadable_error(request, "the response is not a list")
        total = (
            self._client.evaluate(listing.total_expression, request, body)
            if listing.total_expression
            else None
        )
        # In Python a boolean is an int too.
        known_total = total if isinstance(total, int) and not isinstance(total, bool) else None
        return [self._parse_entity(request, entity_type, known, one) for one in results], known_total

    def _entity_settings(self, entity_type: str) -> EntitySettings:
        known = self._settings.entities.get(entity_type.upper())
        if known is None:
            pointer = f"/entities/{entity_type.upper()}"
            raise self._client.not_configured_error(pointer, "The settings have no such entity type.")
        return known

    def _parse_entity(
        self, request: ConnectorRequest, entity_type: str, known: EntitySettings, value: Any
    ) -> Entity:
        try:
            attributes = as_object(value)
            entity_id = as_id(self._client.evaluate(known.id_expression, request, attributes))
        except UnreadableError as unreadable:
            raise self._client.unreadable_error(request, str(unreadable)) from None
        version = (
            as_text(self._client.evaluate(known.version_expression, request, attributes))
            if known.version_expression
            else None
        )
        # PostgreSQL cannot store U+0000.
        version = version and version.replace("\0", "")
        modified_at = (
            parse_timestamp(self._client.evaluate(known.modified_expression, request, attributes))
            if known.modified_expression
            else None
        )
        return Entity(entity_type.upper(), entity_id, attributes, version, modified_at)


def _used_permissions(known: EntitySettings) -> tuple[Permission, ...]:
    return ("read",) if known.list_settings is None else ("list", "read")


def _absent_entity_request(known: EntitySettings) -> ConnectorRequest:
    return ConnectorRequest("fetch", "GET", known.path, query=known.query)
