"""Connector of an identity service with a JSON REST API, described by its settings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from connectors.access_proof import check_access_to_others
from connectors.client.connector_request import ConnectorRequest
from connectors.client.http_client import NOT_FOUND_STATUSES, HttpClient
from connectors.client.probe_requests import can_send, request_absent_item
from connectors.contracts.permissions import (
    Permission,
    PermissionAnswer,
    PermissionFinding,
    PermissionToCheck,
    RenewedCredentials,
)
from connectors.contracts.types import (
    SAMPLE_SIZE,
    Access,
    Entity,
    EntityPage,
    ListFacts,
    SampleResult,
    sort_users_first,
)
from connectors.http.query_parameters import change_values
from connectors.http.urls import UnsafeValueError, check_id
from connectors.lists.page_reader import read_first_items, read_page
from connectors.lists.page_source import PageSource
from connectors.permission_check import check_call, check_items
from connectors.settings.expression_documents import PAGE_VALUES
from connectors.settings.identity import EntitySettings, IdentitySettings
from connectors.settings.page_style import PagedList
from connectors.values.json_responses import as_text
from connectors.values.timestamps import parse_timestamp


class RestIdentityConnector:
    """`contracts.types.IdentityConnector` over HTTP."""

    def __init__(self, client: HttpClient, settings: IdentitySettings) -> None:
        self._client = client
        self._settings = settings

    def fetch_entity(self, entity_type: str, entity_id: str) -> Entity | None:
        """Return the entity as it is now, None if it is deleted. Raises UnreadableResponse for another
        entity.
        """
        settings = self._entity_settings(entity_type)
        request = self._fetch_request(settings, entity_id)
        response = self._client.send_request(request)
        if response.status in NOT_FOUND_STATUSES:
            return None
        record = self._client.read_value(settings.record, request, response)
        entity = self._parse_entity(request, entity_type, settings, record)
        if entity.id != entity_id:
            raise self._client.unreadable_error(request, "the response is about another entity")
        return entity

    def check_access(self, entity_type: str, entity_id: str, known_ids: Sequence[str]) -> Access:
        """Return whether the service gives other entities of this type than `entity_id` to these credentials."""
        settings = self._entity_settings(entity_type)
        return check_access_to_others(
            entity_id,
            known_ids,
            is_readable=lambda known_id: self.has_item(entity_type, known_id),
            list_ids=lambda: self._list_some_ids(entity_type, settings),
            probe=lambda: can_send(self._client, settings.probe, settings.other_rules),
        )

    def list_facts(self, entity_type: str) -> ListFacts | None:
        """Return what the settings say of the list of a type; None if there is no list. Makes no request."""
        listing = self._entity_settings(entity_type).list
        return None if listing is None else listing.facts

    def read_entity_page(
        self,
        entity_type: str,
        position: dict[str, Any] | None,
        *,
        modified_since: datetime | None = None,
    ) -> EntityPage:
        """Return the page of a list at a position, the first page if it is None, as `read_page` does. Raises
        NotConfigured if no list, or no parameter for the time, is configured.
        """
        settings = self._entity_settings(entity_type)
        if settings.list is None:
            pointer = f"/entities/{entity_type.upper()}/list"
            raise self._client.not_configured_error(
                pointer, "The settings have no list for this entity type."
            )
        if modified_since is not None and settings.list.modified_since is None:
            pointer = f"/entities/{entity_type.upper()}/list/modified_since"
            raise self._client.not_configured_error(
                pointer, "The settings do not say how to list only the items that changed."
            )
        source = self._list_source(entity_type, settings, settings.list)
        return EntityPage(*read_page(self._client, source, position, since=modified_since))

    def renew_credentials(self) -> RenewedCredentials | None:
        """Fetch new credentials and describe them; None if only a real request can verify them."""
        return self._client.renew_credentials()

    def read_sample(self) -> SampleResult:
        """Read one entity of the first configured list by its own path; without a list, send the configured probe;
        without both, request an id that does not exist.

        Raises UnreadableResponse if the path of items does not give an entity that is listed.
        """
        entities = sort_users_first(self._settings.entities)
        for entity_type, settings in entities:
            if settings.list is not None:
                return self._read_listed_entity(entity_type, settings, settings.list)
        for _, settings in entities:
            if settings.probe is not None and can_send(self._client, settings.probe, settings.other_rules):
                return SampleResult(f"GET {settings.probe.path}")
        settings = entities[0][1]
        self._request_absent_entity(settings)
        return SampleResult(f"{settings.method} {settings.path}", is_proof=False)

    def has_item(self, entity_type: str, item_id: str) -> bool:
        """Return True if the service gives this entity to these credentials."""
        return self.fetch_entity(entity_type, item_id) is not None

    def list_unprovable_types(self) -> tuple[str, ...]:
        """Return the entity types that have neither a list nor a probe."""
        return tuple(
            name for name, settings in self._settings.entities.items() if not settings.can_prove_absence
        )

    def list_permissions(self) -> tuple[PermissionToCheck, ...]:
        """Return the permissions to read lists and entities, users first."""
        return tuple(
            PermissionToCheck(entity_type, permission)
            for entity_type, settings in sort_users_first(self._settings.entities)
            for permission in _used_permissions(settings)
        )

    def check_permission(self, entity_type: str, permission: Permission) -> PermissionFinding:
        """Find out if these credentials may read the list, or entities, of a type."""
        settings = self._entity_settings(entity_type)
        pointer = f"/entities/{entity_type.upper()}"
        finding = PermissionFinding(entity_type, permission, PermissionAnswer.UNKNOWN)
        if permission == "list" and settings.list is not None:
            listing = settings.list
            finding = replace(finding, call=f"{listing.method} {listing.path}", setting=f"{pointer}/list")
            return check_call(finding, lambda: self._list_some_ids(entity_type, settings))
        return check_items(
            replace(finding, call=f"{settings.method} {settings.path}", setting=f"{pointer}/path"),
            list_ids=lambda: self._list_some_ids(entity_type, settings),
            is_readable=lambda entity_id: self.has_item(entity_type, entity_id),
            request_absent_item=lambda: self._request_absent_entity(settings),
        )

    def probe_system(self) -> None:
        """Send the configured probe; else request the list, or an id that does not exist."""
        entities = sort_users_first(self._settings.entities)
        if any(can_send(self._client, settings.probe, settings.other_rules) for _, settings in entities):
            return
        if any(self._list_some_ids(entity_type, settings) is not None for entity_type, settings in entities):
            return
        self._request_absent_entity(entities[0][1])

    def _read_listed_entity(
        self, entity_type: str, settings: EntitySettings, listing: PagedList
    ) -> SampleResult:
        ids = self._list_ids(entity_type, settings, listing, 1)
        if not ids:
            return SampleResult(f"{listing.method} {listing.path}", 0)
        request = ConnectorRequest("fetch", settings.method, settings.path)
        if self.fetch_entity(entity_type, ids[0]) is None:
            raise self._client.unreadable_error(request, "a listed entity is not found by its own path")
        return SampleResult(request.label, len(ids))

    def _list_some_ids(self, entity_type: str, settings: EntitySettings) -> list[str] | None:
        """Return the ids of a few entities of the list; None if no list is configured."""
        if settings.list is None:
            return None
        return self._list_ids(entity_type, settings, settings.list, SAMPLE_SIZE)

    def _list_ids(
        self, entity_type: str, settings: EntitySettings, listing: PagedList, size: int
    ) -> list[str]:
        source = self._list_source(entity_type, settings, listing)
        return [entity.id for entity in read_first_items(self._client, source, size)]

    def _list_source(
        self, entity_type: str, settings: EntitySettings, listing: PagedList
    ) -> PageSource[Entity]:
        def make_request(values: Mapping[str, Any]) -> ConnectorRequest:
            request = ConnectorRequest(
                "list",
                listing.method,
                listing.path,
                query=listing.query,
                headers=listing.headers,
                answers=settings.other_rules,
            )
            if listing.body is None:
                return request
            # What no page names is null: the first cursor, and the time of a complete list.
            context = {**dict.fromkeys(PAGE_VALUES), **values}
            return replace(request, body=self._client.render_body(listing.body, request, context))

        return PageSource(
            listing,
            listing.path,
            listing.results,
            make_request,
            lambda request, item: self._parse_entity(request, entity_type, settings, item),
            listing.values_in_body,
            listing.modified_since,
        )

    def _fetch_request(self, settings: EntitySettings, entity_id: str) -> ConnectorRequest:
        """Return the request for one entity. Raises UnsafeRequest for an id that must not be sent."""
        request = ConnectorRequest(
            "fetch",
            settings.method,
            settings.path,
            query=settings.query,
            headers=settings.headers,
            accepted_statuses=NOT_FOUND_STATUSES,
            answers=settings.answers,
        )
        return self._name_entity(settings, request, entity_id)

    def _name_entity(
        self, settings: EntitySettings, request: ConnectorRequest, entity_id: str
    ) -> ConnectorRequest:
        """Return a request with an id in its path, query and body."""
        try:
            # The same characters everywhere: then an id cannot end a text of a filter language either.
            values = {"id": check_id(entity_id)}
        except UnsafeValueError as unsafe:
            raise self._client.unsafe_error(f"{request.label}: {unsafe}") from None
        query = request.query and change_values(request.query, lambda text: text.replace("{id}", entity_id))
        named = replace(request, path_values=values if "{id}" in request.path_template else {}, query=query)
        if settings.body is None:
            return named
        return replace(named, body=self._client.render_body(settings.body, named, values))

    def _request_absent_entity(self, settings: EntitySettings) -> None:
        request = ConnectorRequest(
            "fetch",
            settings.method,
            settings.path,
            query=settings.query,
            headers=settings.headers,
            answers=settings.answers,
        )
        request_absent_item(self._client, request, partial(self._name_entity, settings))

    def _entity_settings(self, entity_type: str) -> EntitySettings:
        settings = self._settings.entities.get(entity_type.upper())
        if settings is None:
            pointer = f"/entities/{entity_type.upper()}"
            raise self._client.not_configured_error(pointer, "The settings have no such entity type.")
        return settings

    def _parse_entity(
        self, request: ConnectorRequest, entity_type: str, settings: EntitySettings, value: Any
    ) -> Entity:
        entity_id, attributes = self._client.read_item(settings.id, request, value)
        version = (
            as_text(self._client.evaluate(settings.version, request, attributes))
            if settings.version
            else None
        )
        # PostgreSQL cannot store U+0000.
        version = version and version.replace("\0", "")
        modified_at = (
            parse_timestamp(self._client.evaluate(settings.modified, request, attributes))
            if settings.modified
            else None
        )
        return Entity(entity_type.upper(), entity_id, attributes, version, modified_at)


def _used_permissions(settings: EntitySettings) -> tuple[Permission, ...]:
    return ("read",) if settings.list is None else ("list", "read")
