"""Requests that test a target and change nothing: samples, permissions and probes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from connectors.client.http_client import HttpClient
from connectors.client.probe_requests import can_send, request_absent_items
from connectors.contracts.permissions import (
    Permission,
    PermissionAnswer,
    PermissionFinding,
    PermissionToCheck,
)
from connectors.contracts.types import (
    ABSENT_ID,
    ABSENT_IDS,
    SAMPLE_SIZE,
    Record,
    SampleResult,
    sort_users_first,
)
from connectors.lists.page_reader import iterate_pages
from connectors.permission_check import check_call, check_items, check_methods
from connectors.records.record_reader import RecordReader
from connectors.records.request_builder import RequestBuilder
from connectors.settings.operations.read_operations import GetOperation, ListOperation, SearchOperation
from connectors.settings.target import RecordSettings, TargetSettings
from connectors.values.json_responses import as_text

# Some systems begin a list with an empty page.
_SAMPLE_PAGES = 3
# Statuses of a refusal of the value that a search is for.
_REFUSED_VALUE = frozenset({400, 422})


class RecordSource(Protocol):
    """Reads and finds records, as a target connector does."""

    def get_record(self, entity_type: str, record_id: str) -> Record | None:
        """Return a record; None if the target says that it does not exist."""

    def search_records(self, entity_type: str, field: str, value: str) -> tuple[Record, ...]:
        """Return the records that have a value."""


class TargetChecks:
    """Tests the operations of one target. Raises `errors.ConnectorError` only."""

    def __init__(self, client: HttpClient, settings: TargetSettings, source: RecordSource) -> None:
        self._client = client
        self._settings = settings
        self._source = source
        self._requests = RequestBuilder(client, settings)
        self._reader = RecordReader(client)

    def read_sample(self) -> SampleResult:
        """Read something as `RestTargetConnector.read_sample` says."""
        entities = sort_users_first(self._settings.entities)
        sample = None
        for entity_type, settings in entities:
            if sample is None and settings.operations.list is not None:
                sample = self._read_listed_record(entity_type, settings, settings.operations.list)
        for _, settings in entities:
            search = _usable_search(settings)
            if search is not None:
                searched = self._search_absent_value(settings, search)
                return sample or searched
        if sample is not None:
            return sample
        for _, settings in entities:
            if settings.probe is not None and can_send(self._client, settings.probe):
                return SampleResult(f"GET {settings.probe.path}")
        operation = entities[0][1].operations.get
        self._request_absent_record(operation)
        return SampleResult(operation.label, is_proof=False)

    def list_permissions(self) -> tuple[PermissionToCheck, ...]:
        """Return the permissions to read lists and records, to search and to write, users first."""
        return tuple(
            PermissionToCheck(entity_type, permission)
            for entity_type, settings in sort_users_first(self._settings.entities)
            for permission in _used_permissions(settings)
        )

    def check_permission(
        self, entity_type: str, settings: RecordSettings, permission: Permission
    ) -> PermissionFinding:
        """Find out one permission as `RestTargetConnector.check_permission` says."""
        pointer = f"/entities/{entity_type.upper()}"
        finding = PermissionFinding(entity_type, permission, PermissionAnswer.UNKNOWN, setting=pointer)

        def pointer_of(operation: str) -> str:
            return f"{pointer}/operations/{operation}"

        listing, search, get = settings.operations.list, _usable_search(settings), settings.operations.get
        if permission == "list" and listing is not None:
            finding = replace(finding, call=listing.label, setting=pointer_of("list"))
            return check_call(finding, lambda: self.list_some_ids(settings))
        if permission == "search" and search is not None:
            finding = replace(finding, call=search.label, setting=pointer_of("search"))
            return check_call(finding, lambda: self._search_absent_value(settings, search))
        if permission == "write":
            finding = replace(finding, call=f"OPTIONS {get.path}")
            return check_methods(finding, self._client, _write_calls(settings))
        return check_items(
            replace(finding, call=get.label, setting=pointer_of("get")),
            list_ids=lambda: self.list_some_ids(settings),
            is_readable=lambda record_id: self._source.get_record(entity_type, record_id) is not None,
            request_absent_item=lambda: self._request_absent_record(get),
        )

    def probe_system(self) -> None:
        """Send the cheapest read as `RestTargetConnector.probe_system` says."""
        all_settings = [settings for _, settings in sort_users_first(self._settings.entities)]
        if any(can_send(self._client, settings.probe) for settings in all_settings):
            return
        if any(self.list_some_ids(settings) is not None for settings in all_settings):
            return
        for settings in all_settings:
            search = _usable_search(settings)
            if search is not None:
                self._search_absent_value(settings, search)
                return
        self._request_absent_record(all_settings[0].operations.get)

    def list_some_ids(self, settings: RecordSettings) -> Sequence[str] | None:
        """Return the ids of some records in the configured list; None if there is no list. Reads the next page, three
        at most, only while there is no record.
        """
        operation = settings.operations.list
        if operation is None:
            return None
        source = self._requests.build_list(operation, partial(self._reader.parse_item, settings))
        size = min(SAMPLE_SIZE, source.paging.size)
        for records in iterate_pages(self._client, source.with_size(size), _SAMPLE_PAGES):
            if records:
                return [record.id for record in records]
        return []

    def _read_listed_record(
        self, entity_type: str, settings: RecordSettings, listing: ListOperation
    ) -> SampleResult:
        ids = self.list_some_ids(settings)
        if not ids:
            return SampleResult(listing.label, 0)
        request = self._requests.build_get(settings.operations.get, ids[0])
        record = self._source.get_record(entity_type, ids[0])
        if record is None:
            raise self._client.unreadable_error(request, "a listed record is not found by its own path")
        if settings.version is not None and record.version is None:
            raise self._client.unreadable_error(request, "the record has no version at the configured place")
        search = settings.operations.search
        if search is not None:
            self._search_known_value(entity_type, search, record)
        return SampleResult(request.label, len(ids))

    def _search_known_value(self, entity_type: str, search: SearchOperation, record: Record) -> None:
        """Search for the first searchable value of a record. Raises UnreadableResponse if it is not found."""
        values = {name: as_text(record.fields.get(name)) for name in sorted(search.fields)}
        for name, value in values.items():
            if value:
                records = self._source.search_records(entity_type, name, value)
                if record.id not in {found.id for found in records}:
                    request = self._requests.build_search(search, name, value)
                    reason = f"a search by “{name}” does not find a record that has the value"
                    raise self._client.unreadable_error(request, reason)
                return

    def _search_absent_value(self, settings: RecordSettings, search: SearchOperation) -> SampleResult:
        """Search for a value that does not exist. Raises UnreadableResponse if the search finds records."""
        field = "external_id" if "external_id" in search.fields else min(search.fields)
        # A refusal of the value still shows that the system accepts the credentials.
        request = replace(
            self._requests.build_search(search, field, ABSENT_ID), accepted_statuses=_REFUSED_VALUE
        )
        response = self._client.send_request(request)
        if response.status not in request.accepted_statuses and self._reader.read_all(
            request, settings, search, response
        ):
            raise self._client.unreadable_error(request, f"the search ignores the filter for “{field}”")
        return SampleResult(request.label, 0)

    def _request_absent_record(self, operation: GetOperation) -> None:
        request_absent_items(
            self._client, [self._requests.build_get(operation, absent_id) for absent_id in ABSENT_IDS]
        )


def _usable_search(settings: RecordSettings) -> SearchOperation | None:
    search = settings.operations.search
    return search if search is not None and search.fields else None


def _used_permissions(settings: RecordSettings) -> tuple[Permission, ...]:
    """Return the permissions that the settings of a type use, in the order in which they are checked."""
    is_used = {"list": settings.operations.list is not None, "search": _usable_search(settings) is not None}
    names: tuple[Permission, ...] = ("list", "read", "search", "write")
    return tuple(name for name in names if is_used.get(name, True))


def _write_calls(settings: RecordSettings) -> tuple[tuple[str, str], ...]:
    """Return the method and the path template of each kind of write."""
    operations = settings.operations
    deletions = () if operations.delete is None else (operations.delete,)
    writes = (operations.create, *operations.updates, *deletions)
    return tuple(dict.fromkeys((write.method, write.path) for write in writes))
