"""Connector of a target with a JSON REST API, described by its settings."""

from collections.abc import Mapping
from typing import Any

from sync.connectors.client.client import NOT_FOUND_STATUSES, ConnectorRequest, HttpClient
from sync.connectors.contracts.types import (
    ABSENT_ID,
    ABSENT_ID_STATUSES,
    Record,
    SampleResult,
    sort_users_first,
)
from sync.connectors.http.message_types import HttpResponse
from sync.connectors.http.urls import UnsafeValueError, check_id, fill_template, quote_filter_value
from sync.connectors.settings.target import CollectionSettings, SearchSettings, TargetSettings
from sync.connectors.values.json_responses import UnreadableError, as_id, as_object, as_text

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
        request = ConnectorRequest(
            "get", "GET", known.item_path, path_values={"id": record_id}, accepted_statuses=NOT_FOUND_STATUSES
        )
        answer = self._client.send_request(request)
        if answer.status in NOT_FOUND_STATUSES:
            return None
        return self._require_same_record(request, record_id, self._read_record(request, known, answer))

    def search_records(self, entity_type: str, field: str, value: str) -> tuple[Record, ...]:
        """Return at most ten records that have the value. Each is verified, as some systems ignore a filter
        that they do not know.
        """
        known = self._collection_settings(entity_type)
        if known.search is None or field not in known.search.fields:
            raise self._client.unsafe_error("no search is configured for this field")
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
        hits = self._read_search_results(request, known, known.search, answer)
        return tuple(hit for hit in hits if self._has_value(hit, field, value))[:MAX_SEARCH_RESULTS]

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
        *,
        current: Mapping[str, Any] | None,
    ) -> Record:
        """Update a record and return it as the target has it now.

        PATCH and POST send `fields` only. PUT replaces the record: it sends `current`, read now if None,
        merged with `fields`.
        """
        known = self._collection_settings(entity_type)
        # PUT replaces the record: fields that are not sent would be lost.
        sent = (
            fields
            if known.update_method != "PUT"
            else self._replacement_fields(entity_type, record_id, fields, current)
        )
        request = ConnectorRequest(
            "update",
            known.update_method,
            known.item_path,
            path_values={"id": record_id},
            body=_wrap_fields(known, sent),
            idempotency_key=idempotency_key,
            is_write=True,
        )
        answer = self._client.send_request(request)
        return self._record_after_update(request, known, Record(record_id, sent), answer)

    def delete_record(self, entity_type: str, record_id: str, idempotency_key: str) -> None:
        """Delete the record. A record that was deleted before counts as success."""
        known = self._collection_settings(entity_type)
        self._client.send_request(
            ConnectorRequest(
                "delete",
                known.delete_method,
                known.item_path,
                path_values={"id": record_id},
                idempotency_key=idempotency_key,
                is_write=True,
                accepted_statuses=NOT_FOUND_STATUSES,
            )
        )

    def renew_credentials(self) -> float | None:
        """Fetch new credentials and return their lifetime in seconds; None if only a real request can verify
        them.
        """
        return self._client.renew_credentials()

    def read_sample(self) -> SampleResult:
        """Search for a value that does not exist; if no search is configured, request an id that does not
        exist.
        """
        entities = sort_users_first(self._settings.entities)
        for _, known in entities:
            if known.search is not None and known.search.fields:
                return self._sample_search(known, known.search)
        known = entities[0][1]
        request = ConnectorRequest(
            "get", "GET", known.item_path, {"id": ABSENT_ID}, accepted_statuses=ABSENT_ID_STATUSES
        )
        self._client.send_request(request)
        return SampleResult(request.label)

    def _sample_search(self, known: CollectionSettings, search: SearchSettings) -> SampleResult:
        field = "external_id" if "external_id" in search.fields else min(search.fields)
        query = _search_query(search, field, ABSENT_ID)
        # A refusal of the value still shows that the system accepts the credentials.
        request = ConnectorRequest(
            "search", "GET", search.path, query=query, accepted_statuses=frozenset({400, 422})
        )
        answer = self._client.send_request(request)
        if answer.status in request.accepted_statuses:
            return SampleResult(request.label)
        return SampleResult(request.label, len(self._read_search_results(request, known, search, answer)))

    def _collection_settings(self, entity_type: str) -> CollectionSettings:
        known = self._settings.entities.get(entity_type.upper())
        if known is None:
            raise self._client.unsafe_error("no path is configured for this entity type")
        return known

    def _replacement_fields(
        self, entity_type: str, record_id: str, fields: Mapping[str, Any], current: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Return all fields that a replacing update sends. The target itself refuses a record that was
        deleted.
        """
        if current is None:
            record = self.get_record(entity_type, record_id)
            current = record.fields if record else {}
        omit = self._collection_settings(entity_type).omitted_fields
        return {name: value for name, value in current.items() if name not in omit} | dict(fields)

    def _record_after_update(
        self, request: ConnectorRequest, known: CollectionSettings, sent: Record, answer: HttpResponse
    ) -> Record:
        """Return the record in the response; the record as sent if the response holds none."""
        if not answer.body.strip():
            return sent
        fields = known.record_expression.evaluate(self._client.read_object(request, answer))
        if not isinstance(fields, dict) or known.id_expression.evaluate(fields) is None:
            return sent
        return self._require_same_record(request, sent.id, self._parse_record(request, known, fields))

    def _read_record(
        self, request: ConnectorRequest, known: CollectionSettings, answer: HttpResponse
    ) -> Record:
        return self._parse_record(
            request, known, known.record_expression.evaluate(self._client.read_object(request, answer))
        )

    def _parse_record(self, request: ConnectorRequest, known: CollectionSettings, value: Any) -> Record:
        try:
            fields = as_object(value)
            return Record(as_id(known.id_expression.evaluate(fields)), fields)
        except UnreadableError as unreadable:
            raise self._client.unreadable_error(request, str(unreadable)) from None

    def _require_same_record(self, request: ConnectorRequest, record_id: str, record: Record) -> Record:
        if record.id != record_id:
            raise self._client.unreadable_error(request, "the response is about another record")
        return record

    def _read_search_results(
        self,
        request: ConnectorRequest,
        known: CollectionSettings,
        search: SearchSettings,
        answer: HttpResponse,
    ) -> list[Record]:
        results = search.results_expression.evaluate(self._client.read_json(request, answer))
        if not isinstance(results, list):
            raise self._client.unreadable_error(request, "the response is not a list")
        return [self._parse_record(request, known, one) for one in results]

    def _has_value(self, record: Record, field: str, value: str) -> bool:
        own = as_text(record.fields.get(field))
        if own is None:
            return False
        return own.casefold() == value.casefold() if field in self._settings.caseless_fields else own == value


def _search_query(search: SearchSettings, field: str, value: str) -> dict[str, str]:
    values = {"field": field, "value": value, "quoted": quote_filter_value(value)}
    return {fill_template(name, values): fill_template(text, values) for name, text in search.query.items()}


def _wrap_fields(known: CollectionSettings, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return fields if known.wrapper_field is None else {known.wrapper_field: fields}
