"""Connector of a target with a JSON REST API, described by its settings."""

from collections.abc import Mapping, Sequence
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
    ABSENT_ID,
    Access,
    Record,
    RecordVersion,
    SampleResult,
    sort_users_first,
)
from sync.connectors.http.message_types import HttpResponse
from sync.connectors.http.urls import UnsafeValueError, check_id, fill_template, quote_filter_value
from sync.connectors.permission_check import check_call, check_items, check_methods
from sync.connectors.record_versions import (
    can_send_version,
    make_conditional,
    read_version,
    remove_at_path,
)
from sync.connectors.settings.target import (
    CollectionSettings,
    RecordListSettings,
    SearchSettings,
    TargetSettings,
)
from sync.connectors.values.json_responses import (
    JmesPathExpression,
    UnreadableError,
    as_id,
    as_object,
    as_text,
)

MAX_SEARCH_RESULTS = 10


class RestTargetConnector:
    """`contracts.types.TargetConnector` over HTTP."""

    def __init__(self, client: HttpClient, settings: TargetSettings) -> None:
        self._client = client
        self._settings = settings

    def get_record(self, entity_type: str, record_id: str) -> Record | None:
        """Return the record as it is now, None if it is deleted. Raises UnreadableResponse for another
        record.
        """
        known = self._collection_settings(entity_type)
        request = _item_request(known, record_id)
        answer = self._client.send_request(request)
        if answer.status in NOT_FOUND_STATUSES:
            return None
        return self._require_same_record(request, record_id, self._read_record(request, known, answer))

    def check_access(self, entity_type: str, record_id: str, known_ids: Sequence[str]) -> Access:
        """Return whether the target gives other records of this type than `record_id` to these credentials."""
        known = self._collection_settings(entity_type)
        return check_access_to_others(
            record_id,
            known_ids,
            is_readable=lambda known_id: self.get_record(entity_type, known_id) is not None,
            list_ids=lambda: self._list_some_ids(known),
            probe=lambda: self._client.can_send(known.probe),
        )

    def search_records(self, entity_type: str, field: str, value: str) -> tuple[Record, ...]:
        """Return at most ten records that have the value. Each is verified, as some systems ignore a filter
        that they do not know.
        """
        known = self._collection_settings(entity_type)
        if known.search is None or field not in known.search.fields:
            pointer = f"/entities/{entity_type.upper()}/search/fields"
            reason = f"The settings allow no search for the field “{field}”."
            raise self._client.not_configured_error(pointer, reason)
        request = ConnectorRequest(
            "search",
            "GET",
            known.search.path,
            query=_search_query(known.search, field, value),
            accepted_statuses=NOT_FOUND_STATUSES,
        )
        answer = self._client.send_request(request)
        # A 404 for a search does not prove that the record is missing: the path may be wrong.
        if answer.status in NOT_FOUND_STATUSES:
            raise self._client.unreadable_error(request, f"a search returned {answer.status}")
        hits = self._read_records(request, known, known.search.results_expression, answer)
        return tuple(hit for hit in hits if self._has_value(hit, field, value))[:MAX_SEARCH_RESULTS]

    def load_version(self, entity_type: str, record: Record) -> Record:
        """Return the record with the version that a write must name, read by its own path if it lacks it: a search
        gives no version that stands in a header.

        Raises UnreadableResponse if the path of items does not give the record.
        """
        known = self._collection_settings(entity_type)
        if known.version is None or record.version is not None:
            return record
        current = self.get_record(entity_type, record.id)
        if current is None:
            request = _item_request(known, record.id)
            raise self._client.unreadable_error(request, "the record is not found by its own path")
        return current

    def create_record(self, entity_type: str, fields: Mapping[str, Any], idempotency_key: str) -> Record:
        """Create a record and return it.

        Raises UnreadableResponse if the response has no id, and UnsafeRequest if the id is not allowed in a
        path; the record may exist in both cases.
        """
        known = self._collection_settings(entity_type)
        body = _wrap_fields(known, fields)
        request = ConnectorRequest(
            "create",
            known.create_method,
            known.collection_path,
            body=body,
            idempotency_key=idempotency_key,
            is_write=True,
        )
        record = self._read_record(request, known, self._client.send_request(request))
        try:
            check_id(record.id)
        except UnsafeValueError as error:
            raise self._client.unsafe_error(f"{request.label}: {error}", maybe_applied=True) from None
        return record

    def update_record(
        self,
        entity_type: str,
        record_id: str,
        fields: Mapping[str, Any],
        idempotency_key: str,
        version: RecordVersion | None = None,
    ) -> Record:
        """Update a record and return it as the target has it now.

        PATCH and POST send `fields` only. PUT replaces the record: it reads the whole record, and sends it with
        `fields` over it.
        """
        known = self._collection_settings(entity_type)
        self._require_version(known, record_id, version)
        sent = fields
        if known.update_method == "PUT":
            # PUT replaces the record: fields that are not sent would be lost.
            sent = self._replacement_fields(known, record_id, fields, version)
        request = ConnectorRequest(
            "update",
            known.update_method,
            known.item_path,
            path_values={"id": record_id},
            body=_wrap_fields(known, sent),
            idempotency_key=idempotency_key,
            is_write=True,
        )
        answer = self._client.send_request(self._conditional_write(entity_type, known, request, version))
        return self._record_after_update(request, known, Record(record_id, sent), answer)

    def delete_record(
        self, entity_type: str, record_id: str, idempotency_key: str, version: RecordVersion | None = None
    ) -> None:
        """Delete the record. A record that was deleted before counts as success."""
        known = self._collection_settings(entity_type)
        self._require_version(known, record_id, version)
        request = ConnectorRequest(
            "delete",
            known.delete_method,
            known.item_path,
            path_values={"id": record_id},
            idempotency_key=idempotency_key,
            is_write=True,
            accepted_statuses=NOT_FOUND_STATUSES,
        )
        self._client.send_request(self._conditional_write(entity_type, known, request, version))

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
        entities = sort_users_first(self._settings.entities)
        sample = None
        for entity_type, known in entities:
            if sample is None and known.list_settings is not None:
                sample = self._read_listed_record(entity_type, known, known.list_settings)
        for _, known in entities:
            if known.search is not None and known.search.fields:
                searched = self._search_absent_value(known, known.search)
                return sample or searched
        if sample is not None:
            return sample
        for _, known in entities:
            if known.probe is not None and self._client.can_send(known.probe):
                return SampleResult(f"GET {known.probe.path}")
        request = ConnectorRequest("get", "GET", entities[0][1].item_path)
        self._client.request_absent_item(request)
        return SampleResult(request.label, is_proof=False)

    def list_permissions(self) -> tuple[PermissionToCheck, ...]:
        """Return the permissions to read lists and records, to search and to write, users first."""
        return tuple(
            PermissionToCheck(entity_type, permission)
            for entity_type, known in sort_users_first(self._settings.entities)
            for permission in _used_permissions(known)
        )

    def check_permission(self, entity_type: str, permission: Permission) -> PermissionFinding:
        """Find out if these credentials may read the list or records of a type, and search them. Of writes, ask only
        which methods the target accepts.
        """
        known = self._collection_settings(entity_type)
        pointer = f"/entities/{entity_type.upper()}"
        finding = PermissionFinding(entity_type, permission, PermissionAnswer.UNKNOWN, setting=pointer)
        if permission == "list" and known.list_settings is not None:
            call = f"GET {known.list_settings.request.path}"
            finding = replace(finding, call=call, setting=f"{pointer}/list")
            return check_call(finding, lambda: self._list_some_ids(known))
        if permission == "search" and known.search is not None and known.search.fields:
            search = known.search
            finding = replace(finding, call=f"GET {search.path}", setting=f"{pointer}/search")
            return check_call(finding, lambda: self._search_absent_value(known, search))
        if permission == "write":
            finding = replace(finding, call=f"OPTIONS {known.item_path}")
            return check_methods(finding, self._client, _write_calls(known))
        request = ConnectorRequest("get", "GET", known.item_path)
        return check_items(
            replace(finding, call=request.label, setting=f"{pointer}/item"),
            list_ids=lambda: self._list_some_ids(known),
            is_readable=lambda record_id: self.get_record(entity_type, record_id) is not None,
            request_absent_item=lambda: self._client.request_absent_item(request),
        )

    def probe_system(self) -> None:
        """Send the configured probe; else request the list, search for a value that does not exist, or request an id
        that does not exist.
        """
        collections = [known for _, known in sort_users_first(self._settings.entities)]
        if any(self._client.can_send(known.probe) for known in collections):
            return
        if any(self._list_some_ids(known) is not None for known in collections):
            return
        for known in collections:
            if known.search is not None and known.search.fields:
                self._search_absent_value(known, known.search)
                return
        self._client.request_absent_item(ConnectorRequest("get", "GET", collections[0].item_path))

    def _read_listed_record(
        self, entity_type: str, known: CollectionSettings, listing: RecordListSettings
    ) -> SampleResult:
        ids = self._list_some_ids(known)
        if not ids:
            return SampleResult(f"GET {listing.request.path}", 0)
        request = ConnectorRequest("get", "GET", known.item_path)
        record = self.get_record(entity_type, ids[0])
        if record is None:
            raise self._client.unreadable_error(request, "a listed record is not found by its own path")
        self._require_version(known, record.id, record.version)
        if known.search is not None:
            self._search_known_value(entity_type, known.search, record)
        return SampleResult(request.label, len(ids))

    def _search_known_value(self, entity_type: str, search: SearchSettings, record: Record) -> None:
        """Search for the first searchable value of a record. Raises UnreadableResponse if it is not found."""
        values = {name: as_text(record.fields.get(name)) for name in sorted(search.fields)}
        for name, value in values.items():
            if value:
                hits = self.search_records(entity_type, name, value)
                if record.id not in {hit.id for hit in hits}:
                    request = ConnectorRequest("search", "GET", search.path)
                    reason = f"a search by “{name}” does not find a record that has the value"
                    raise self._client.unreadable_error(request, reason)
                return

    def _list_some_ids(self, known: CollectionSettings) -> list[str] | None:
        """Return the ids of the records in the configured list; None if there is no list."""
        if known.list_settings is None:
            return None
        request = ConnectorRequest(
            "list", "GET", known.list_settings.request.path, query=known.list_settings.request.query
        )
        answer = self._client.send_request(request)
        records = self._read_records(request, known, known.list_settings.results_expression, answer)
        return [record.id for record in records]

    def _search_absent_value(self, known: CollectionSettings, search: SearchSettings) -> SampleResult:
        """Search for a value that does not exist. Raises UnreadableResponse if the search finds records."""
        field = "external_id" if "external_id" in search.fields else min(search.fields)
        query = _search_query(search, field, ABSENT_ID)
        # A refusal of the value still shows that the system accepts the credentials.
        request = ConnectorRequest(
            "search", "GET", search.path, query=query, accepted_statuses=frozenset({400, 422})
        )
        answer = self._client.send_request(request)
        if answer.status not in request.accepted_statuses and self._read_records(
            request, known, search.results_expression, answer
        ):
            raise self._client.unreadable_error(request, f"the search ignores the filter for “{field}”")
        return SampleResult(request.label, 0)

    def _collection_settings(self, entity_type: str) -> CollectionSettings:
        known = self._settings.entities.get(entity_type.upper())
        if known is None:
            pointer = f"/entities/{entity_type.upper()}"
            raise self._client.not_configured_error(pointer, "The settings have no such entity type.")
        return known

    def _require_version(
        self, known: CollectionSettings, record_id: str, version: RecordVersion | None
    ) -> None:
        """Raise UnreadableResponse if a write has to name a version and has none. It must never be unconditional."""
        if known.version is not None and version is None:
            request = _item_request(known, record_id)
            raise self._client.unreadable_error(request, "the record has no version where the settings say")

    def _conditional_write(
        self,
        entity_type: str,
        known: CollectionSettings,
        request: ConnectorRequest,
        version: RecordVersion | None,
    ) -> ConnectorRequest:
        """Return the write with its version; unchanged if the settings make no write conditional."""
        if known.version is None or version is None:
            return request
        if not can_send_version(known.version, request.method):
            pointer = f"/entities/{entity_type.upper()}/version/send/query"
            reason = "The settings do not say how a DELETE request sends the version."
            raise self._client.not_configured_error(pointer, reason)
        return make_conditional(request, known.version, version, known.wrapper_field)

    def _replacement_fields(
        self,
        known: CollectionSettings,
        record_id: str,
        fields: Mapping[str, Any],
        version: RecordVersion | None,
    ) -> dict[str, Any]:
        """Return all fields that a replacing update sends. The target itself refuses a record that was
        deleted. Raises RecordStale if the record has not the given version any more.
        """
        request = _item_request(known, record_id)
        answer = self._client.send_request(request)
        whole: Mapping[str, Any] = {}
        current = None
        if answer.status not in NOT_FOUND_STATUSES:
            document = self._client.read_object(request, answer)
            selected = self._client.evaluate(known.record_expression, request, document)
            current = self._parse_record(request, known, selected, answer)
            whole = _whole_record(known, document)
        if known.version is not None:
            # The change was planned for another version than the one that would be sent.
            if current is None or current.version != version:
                raise self._client.stale_error(request, "the record was changed since it was read")
            if known.version.read_path is not None:
                whole = remove_at_path(whole, known.version.read_path)
        return {name: value for name, value in whole.items() if name not in known.omitted_fields} | dict(
            fields
        )

    def _record_after_update(
        self, request: ConnectorRequest, known: CollectionSettings, sent: Record, answer: HttpResponse
    ) -> Record:
        """Return the record in the response; the record as sent if the response holds none."""
        if not answer.body.strip():
            return sent
        fields = self._client.evaluate(
            known.record_expression, request, self._client.read_object(request, answer)
        )
        if (
            not isinstance(fields, dict)
            or self._client.evaluate(known.id_expression, request, fields) is None
        ):
            return sent
        return self._require_same_record(request, sent.id, self._parse_record(request, known, fields, answer))

    def _read_record(
        self, request: ConnectorRequest, known: CollectionSettings, answer: HttpResponse
    ) -> Record:
        document = self._client.read_object(request, answer)
        return self._parse_record(
            request, known, self._client.evaluate(known.record_expression, request, document), answer
        )

    def _parse_record(
        self,
        request: ConnectorRequest,
        known: CollectionSettings,
        value: Any,
        answer: HttpResponse | None = None,
    ) -> Record:
        """Read a record. `answer`: the response if it holds this record alone, so that its headers are about it."""
        try:
            fields = as_object(value)
            headers = answer.headers if answer is not None else {}
            version = read_version(known.version, fields, headers)
            return Record(as_id(self._client.evaluate(known.id_expression, request, fields)), fields, version)
        except UnreadableError as unreadable:
            raise self._client.unreadable_error(request, str(unreadable)) from None

    def _require_same_record(self, request: ConnectorRequest, record_id: str, record: Record) -> Record:
        if record.id != record_id:
            raise self._client.unreadable_error(request, "the response is about another record")
        return record

    def _read_records(
        self,
        request: ConnectorRequest,
        known: CollectionSettings,
        results_expression: JmesPathExpression,
        answer: HttpResponse,
    ) -> list[Record]:
        results = self._client.evaluate(results_expression, request, self._client.read_json(request, answer))
        if not isinstance(results, list):
            raise self._client.unreadable_error(request, "the response is not a list")
        return [self._parse_record(request, known, one) for one in results]

    def _has_value(self, record: Record, field: str, value: str) -> bool:
        own = as_text(record.fields.get(field))
        if own is None:
            return False
        return own.casefold() == value.casefold() if field in self._settings.caseless_fields else own == value


def _used_permissions(known: CollectionSettings) -> tuple[Permission, ...]:
    """Return the permissions that the settings of a type use, in the order in which they are checked."""
    is_used = {"list": known.list_settings is not None, "search": bool(known.search and known.search.fields)}
    names: tuple[Permission, ...] = ("list", "read", "search", "write")
    return tuple(name for name in names if is_used.get(name, True))


def _write_calls(known: CollectionSettings) -> tuple[tuple[str, str], ...]:
    """Return the method and the path template of each kind of write."""
    return (
        (known.create_method, known.collection_path),
        (known.update_method, known.item_path),
        (known.delete_method, known.item_path),
    )


def _item_request(known: CollectionSettings, record_id: str) -> ConnectorRequest:
    return ConnectorRequest(
        "get", "GET", known.item_path, path_values={"id": record_id}, accepted_statuses=NOT_FOUND_STATUSES
    )


def _whole_record(known: CollectionSettings, document: dict[str, Any]) -> Mapping[str, Any]:
    """Return the record with all its fields, also those that the `record` expression leaves out."""
    selected = known.record_expression.evaluate(document)
    # An expression that selects gives a part of the document itself; one that rebuilds gives a new object.
    if isinstance(selected, dict) and _is_part(document, selected):
        return selected
    inner = document.get(known.wrapper_field) if known.wrapper_field else None
    return inner if isinstance(inner, dict) else document


def _is_part(document: Any, part: object) -> bool:
    if document is part:
        return True
    values = (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    )
    return any(_is_part(value, part) for value in values)


def _search_query(search: SearchSettings, field: str, value: str) -> dict[str, str]:
    values = {"field": field, "value": value, "quoted": quote_filter_value(value)}
    return {fill_template(name, values): fill_template(text, values) for name, text in search.query.items()}


def _wrap_fields(known: CollectionSettings, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return fields if known.wrapper_field is None else {known.wrapper_field: fields}
