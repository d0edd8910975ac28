"""Connector of a target with a JSON REST API, described by its settings: every request is one of its operations."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from connectors.access_proof import check_access_to_others
from connectors.client.connector_request import ConnectorRequest
from connectors.client.http_client import NOT_FOUND_STATUSES, HttpClient
from connectors.client.probe_requests import can_send
from connectors.contracts.errors import ConnectorError
from connectors.contracts.permissions import (
    Permission,
    PermissionFinding,
    PermissionToCheck,
    RenewedCredentials,
)
from connectors.contracts.types import (
    NO_CONTEXT,
    Access,
    ListFacts,
    Record,
    RecordPage,
    RecordVersion,
    SampleResult,
    WriteContext,
)
from connectors.http.urls import UnsafeValueError, check_id
from connectors.lists.page_reader import read_page
from connectors.record_versions import remove_at_path
from connectors.records.field_coverage import list_unread
from connectors.records.list_items import ListUnreadable, WrittenFields, write_items
from connectors.records.planned_writes import (
    PlannedWrite,
    can_send_version,
    make_conditional,
    plan_update,
)
from connectors.records.record_reader import RecordReader, whole_record
from connectors.records.request_builder import RequestBuilder
from connectors.records.target_checks import TargetChecks
from connectors.settings.operations.read_operations import SearchOperation
from connectors.settings.operations.write_operations import UpdateOperation
from connectors.settings.target import RecordSettings, TargetSettings

MAX_SEARCH_RESULTS = 10


class RestTargetConnector:
    """`contracts.types.TargetConnector` over HTTP."""

    def __init__(self, client: HttpClient, settings: TargetSettings) -> None:
        self._client = client
        self._settings = settings
        self._requests = RequestBuilder(client, settings)
        self._reader = RecordReader(client)

    def get_record(self, entity_type: str, record_id: str) -> Record | None:
        """Return the record as it is now, None if it is deleted. Raises UnreadableResponse for another
        record.
        """
        settings = self._record_settings(entity_type)
        operation = settings.operations.get
        request = self._requests.build_get(operation, record_id)
        response = self._client.send_request(request)
        if response.status in NOT_FOUND_STATUSES:
            return None
        return self._reader.read_same(request, settings, operation, record_id, response)

    def check_access(self, entity_type: str, record_id: str, known_ids: Sequence[str]) -> Access:
        """Return whether the target gives other records of this type than `record_id` to these credentials."""
        settings = self._record_settings(entity_type)
        return check_access_to_others(
            record_id,
            known_ids,
            is_readable=lambda known_id: self.has_item(entity_type, known_id),
            list_ids=lambda: self._checks.list_some_ids(settings),
            probe=lambda: can_send(self._client, settings.probe),
        )

    def list_facts(self, entity_type: str) -> ListFacts | None:
        """Return what the settings say of the list of a type; None if there is no list. Makes no request."""
        listing = self._record_settings(entity_type).operations.list
        return None if listing is None else listing.facts

    def read_record_page(self, entity_type: str, position: dict[str, Any] | None) -> RecordPage:
        """Return the page of a list at a position, the first page if it is None, as `read_page` does. Records are read
        as `get_record` reads them. Raises NotConfigured if no list is configured.
        """
        settings = self._record_settings(entity_type)
        if settings.operations.list is None:
            pointer = f"/entities/{entity_type.upper()}/operations/list"
            raise self._client.not_configured_error(
                pointer, "The settings have no list for this entity type."
            )
        source = self._requests.build_list(
            settings.operations.list, partial(self._reader.parse_item, settings)
        )
        return RecordPage(*read_page(self._client, source, position))

    def search_records(self, entity_type: str, field: str, value: str) -> tuple[Record, ...]:
        """Return at most ten records that have the value. Each is verified, as some systems ignore a filter
        that they do not know, or find similar values. `field_values` says where a record has several values.
        """
        settings = self._record_settings(entity_type)
        search = self._require_search(entity_type, settings, field)
        request = self._requests.build_search(search, field, value)
        response = self._client.send_request(request)
        # Without a rule, a 404 for a search does not prove that the record is missing: the path may be wrong.
        if response.status in NOT_FOUND_STATUSES:
            reason = f"a search returned {response.status}; a rule in its `answers` must say if that means `absent`"
            raise self._client.unreadable_error(request, reason)
        listed = self._reader.read_all(request, settings, search, response)
        records = [
            record
            for record in listed
            if self._has_value(self._reader.read_hit_values(request, search, record, field), field, value)
        ]
        return tuple(records[:MAX_SEARCH_RESULTS])

    def has_value(self, entity_type: str, record: Record, field: str, value: str) -> bool:
        """Return whether a record, however it was read, has the value that a search is for, compared as a search hit
        is. Makes no request.
        """
        settings = self._record_settings(entity_type)
        search = self._require_search(entity_type, settings, field)
        request = self._requests.build_get(settings.operations.get, record.id)
        return self._has_value(self._reader.read_values(request, search, record, field), field, value)

    def unread_fields(self, entity_type: str, names: Collection[str]) -> frozenset[str]:
        """Return those of the fields that are not in the records which `get` gives. Makes no request."""
        return frozenset(list_unread(self._record_settings(entity_type), names))

    def load_version(self, entity_type: str, record: Record) -> Record:
        """Return the record with the version that a write must name, read by its own path if it lacks it: a search
        gives no version that is in a header.

        Raises UnreadableResponse if the path of items does not give the record.
        """
        settings = self._record_settings(entity_type)
        if settings.version is None or record.version is not None:
            return record
        current = self.get_record(entity_type, record.id)
        if current is None:
            request = self._requests.build_get(settings.operations.get, record.id)
            raise self._client.unreadable_error(request, "the record is not found by its own path")
        return current

    def create_record(
        self,
        entity_type: str,
        fields: Mapping[str, Any],
        idempotency_key: str,
        context: WriteContext = NO_CONTEXT,
    ) -> Record:
        """Create a record and return it.

        Raises UnreadableResponse if the response has no id, and UnsafeRequest if the id is not allowed in a
        path; the record may exist in both cases.
        """
        settings = self._record_settings(entity_type)
        operation = settings.operations.create
        written = write_items(settings.list_items, fields, {})
        document = {**_context_document(context, fields, written), "current": None, "raw": None}
        write = PlannedWrite(operation, written.sent)
        request = self._requests.build_write("create", write, document, idempotency_key)
        response = self._client.send_request(request)
        sent = Record(context.key, dict(fields))
        record = self._reader.read_created(request, settings, operation, sent, response)
        self._check_new_id(request, record)
        return record

    def update_record(
        self,
        entity_type: str,
        record_id: str,
        fields: Mapping[str, Any],
        idempotency_key: str,
        version: RecordVersion | None = None,
        context: WriteContext = NO_CONTEXT,
    ) -> Record:
        """Update a record by one request or several, and return it as the target has it now.

        The style of the update says what is sent. One that replaces the record reads the whole record, and sends it
        with `fields` over it; so does one that changes an item of a list, to keep the others as they are now. An error
        of a later request says that the update may have been applied.
        Raises NotConfigured if the settings leave every request out, and RecordStale if the lists have no longer what
        it was to change in them.
        """
        settings = self._record_settings(entity_type)
        self._require_version(settings, record_id, version)
        raw: Mapping[str, Any] = {}
        is_read_again = any(operation.needs_raw for operation in settings.operations.updates)
        if is_read_again or not settings.list_items.keys().isdisjoint(fields):
            raw = self._read_raw(settings, record_id, version)
        written = self._write_items(settings, record_id, fields, raw)
        own = {"id": record_id, "raw": raw, "version": version}
        document = {**_context_document(context, fields, written), **own}
        record, sent_requests = None, 0
        for number, operation in enumerate(settings.operations.updates, 1):
            # It is the version of the record, which the first request changes.
            own_version = version if number == 1 else None
            if record is not None:
                document["id"] = record.id
            if operation.when and not self._requests.is_wanted(operation, operation.when, document):
                continue
            key = idempotency_key if number == 1 else f"{idempotency_key}-{number}"
            try:
                updated = self._send_update(
                    entity_type, settings, operation, written, document, key, own_version
                )
            except ConnectorError as error:
                error.maybe_applied = error.maybe_applied or bool(sent_requests)
                raise
            # The first response is about the record itself.
            record, sent_requests = record or updated, sent_requests + 1
        if record is None:
            pointer = f"/entities/{entity_type.upper()}/operations/update"
            reason = "No request of the update is for the fields that changed."
            raise self._client.not_configured_error(pointer, reason)
        return record

    def delete_record(
        self,
        entity_type: str,
        record_id: str,
        idempotency_key: str,
        version: RecordVersion | None = None,
        context: WriteContext = NO_CONTEXT,
    ) -> None:
        """Delete the record. A record that was deleted before counts as success.

        Raises UnreadableResponse if the target answers that the record does not exist, and still returns it: a path may
        be mistyped, and some systems answer so to a client that may not delete; also if the response states a failure.
        """
        settings = self._record_settings(entity_type)
        operation = settings.operations.delete
        if operation is None:
            pointer = f"/entities/{entity_type.upper()}/operations/delete"
            raise self._client.not_configured_error(
                pointer, "The settings do not say how a record is deleted."
            )
        self._require_version(settings, record_id, version)
        raw = self._read_raw(settings, record_id, version) if operation.needs_raw else {}
        own = {"id": record_id, "raw": raw, "version": version}
        document = {**_context_document(context, {}, WrittenFields({})), **own}
        write = self._conditional_write(entity_type, settings, PlannedWrite(operation), version)
        request = self._requests.build_write("delete", write, document, idempotency_key)
        answer = self._client.send_request(replace(request, accepted_statuses=NOT_FOUND_STATUSES))
        if answer.status in NOT_FOUND_STATUSES and self.get_record(entity_type, record_id) is not None:
            reason = f"a deletion returned {answer.status}, and the record is still there"
            raise self._client.unreadable_error(request, reason)
        if answer.status not in NOT_FOUND_STATUSES:
            self._reader.require_success(request, answer)

    def renew_credentials(self) -> RenewedCredentials | None:
        """Fetch new credentials and describe them; None if only a real request can verify them."""
        return self._client.renew_credentials()

    def read_sample(self) -> SampleResult:
        """Read a listed record by its own path, search for a value of it, and for one that does not exist. Without a
        list, only the last; without a search, send the configured probe, and without one request an id that does not
        exist.

        Raises UnreadableResponse if the path of items does not give a listed record, if that record lacks the version
        which writes must name, if a search does not find it, or if a search ignores its filter.
        """
        return self._checks.read_sample()

    def has_item(self, entity_type: str, item_id: str) -> bool:
        """Return True if the target gives this record to these credentials."""
        return self.get_record(entity_type, item_id) is not None

    def list_unprovable_types(self) -> tuple[str, ...]:
        """Return the entity types that have neither a list nor a probe."""
        return tuple(
            name for name, settings in self._settings.entities.items() if not settings.can_prove_absence
        )

    def list_permissions(self) -> tuple[PermissionToCheck, ...]:
        """Return the permissions to read lists and records, to search and to write, users first."""
        return self._checks.list_permissions()

    def check_permission(self, entity_type: str, permission: Permission) -> PermissionFinding:
        """Find out if these credentials may read the list or records of a type, and search them. Of writes, ask only
        which methods the target accepts.
        """
        return self._checks.check_permission(entity_type, self._record_settings(entity_type), permission)

    def probe_system(self) -> None:
        """Send the configured probe; else request the list, search for a value that does not exist, or request an id
        that does not exist.
        """
        self._checks.probe_system()

    def _send_update(
        self,
        entity_type: str,
        settings: RecordSettings,
        operation: UpdateOperation,
        written: WrittenFields,
        document: Mapping[str, Any],
        idempotency_key: str,
        version: RecordVersion | None,
    ) -> Record:
        """Send one request of an update. Returns the record in its response, or the record as it was sent."""
        changed, record_id = document["changed"], document["id"]
        planned = plan_update(operation, written, document["current"] or {}, document["raw"])
        write = self._conditional_write(entity_type, settings, planned, version)
        request = self._requests.build_write("update", write, document, idempotency_key)
        sent = planned.sent if isinstance(planned.sent, dict) else changed
        response = self._client.send_request(request)
        record = self._reader.read_after_update(
            request, settings, operation, Record(record_id, sent), response
        )
        if record.id != record_id:
            self._check_new_id(request, record)
        return record

    @property
    def _checks(self) -> TargetChecks:
        """Make the checks when they are asked for: no delivery needs them."""
        return TargetChecks(self._client, self._settings, self)

    def _record_settings(self, entity_type: str) -> RecordSettings:
        settings = self._settings.entities.get(entity_type.upper())
        if settings is None:
            pointer = f"/entities/{entity_type.upper()}"
            raise self._client.not_configured_error(pointer, "The settings have no such entity type.")
        return settings

    def _check_new_id(self, request: ConnectorRequest, record: Record) -> None:
        try:
            check_id(record.id, self._settings.id_characters)
        except UnsafeValueError as error:
            raise self._client.unsafe_error(f"{request.label}: {error}", maybe_applied=True) from None

    def _require_version(
        self, settings: RecordSettings, record_id: str, version: RecordVersion | None
    ) -> None:
        """Raise UnreadableResponse if a write has to name a version and has none. It must never be unconditional."""
        if settings.version is not None and version is None:
            request = self._requests.build_get(settings.operations.get, record_id)
            raise self._client.unreadable_error(request, "the record has no version at the configured place")

    def _conditional_write(
        self,
        entity_type: str,
        settings: RecordSettings,
        write: PlannedWrite,
        version: RecordVersion | None,
    ) -> PlannedWrite:
        """Return the write with its version; unchanged if the settings make no write conditional."""
        if settings.version is None or version is None:
            return write
        if not can_send_version(settings.version, write.operation.method):
            pointer = f"/entities/{entity_type.upper()}/version/send/query"
            reason = "The settings do not say how a DELETE request sends the version."
            raise self._client.not_configured_error(pointer, reason)
        return make_conditional(write, settings.version, version)

    def _read_raw(
        self, settings: RecordSettings, record_id: str, version: RecordVersion | None
    ) -> Mapping[str, Any]:
        """Return the record with all its fields, as the target gives it; none if it was deleted: the target itself
        refuses the write then. Raises RecordStale if the record has not the given version any more.
        """
        operation = settings.operations.get
        request = self._requests.build_get(operation, record_id)
        response = self._client.send_request(request)
        whole: Mapping[str, Any] | None = {}
        current = None
        if response.status not in NOT_FOUND_STATUSES:
            document = self._reader.read_document(request, operation, response)
            current = self._reader.read_one(request, settings, operation, response)
            whole = whole_record(
                operation,
                document,
                lambda expression: self._client.evaluate(expression, request, document),
            )
        if whole is None:
            raise self._client.unreadable_error(request, "the settings do not say where the whole record is")
        if settings.version is not None:
            # The change was planned for another version than the one that would be sent.
            if current is None or current.version != version:
                raise self._client.stale_error(request, "the record was changed since it was read")
            if settings.version.read.path is not None:
                whole = remove_at_path(whole, settings.version.read.path)
        return whole

    def _write_items(
        self, settings: RecordSettings, record_id: str, fields: Mapping[str, Any], raw: Mapping[str, Any]
    ) -> WrittenFields:
        """Return the fields of an update as they are sent. Raises UnreadableResponse if a list that one of them is in
        cannot be read, and would be overwritten.
        """
        if not settings.list_items:
            return WrittenFields(fields)
        request = self._requests.build_get(settings.operations.get, record_id)
        try:
            written = write_items(settings.list_items, fields, raw)
        except ListUnreadable as unreadable:
            raise self._client.unreadable_error(request, f"the value at {unreadable} is not a list") from None
        if fields and not written.sent:
            raise self._client.stale_error(request, "the item of the list was removed since it was read")
        return written

    def _require_search(self, entity_type: str, settings: RecordSettings, field: str) -> SearchOperation:
        """Return the search. Raises NotConfigured if the settings allow none for this field."""
        search = settings.operations.search
        if search is None or field not in search.fields:
            pointer = f"/entities/{entity_type.upper()}/operations/search/fields"
            reason = f"The settings allow no search for the field “{field}”."
            raise self._client.not_configured_error(pointer, reason)
        return search

    def _has_value(self, own_values: Sequence[str], field: str, value: str) -> bool:
        if field in self._settings.caseless_fields:
            return value.casefold() in {own.casefold() for own in own_values}
        return value in own_values


def _context_document(
    context: WriteContext, changed: Mapping[str, Any], written: WrittenFields
) -> dict[str, Any]:
    """Return what the expressions and placeholders of a write may name."""
    return {
        "key": context.key,
        "fields": dict(changed if context.fields is None else context.fields),
        "changed": dict(changed),
        "lists": dict(written.lists),
        "current": None if context.current is None else dict(context.current),
        "entity": None if context.entity is None else dict(context.entity),
    }
