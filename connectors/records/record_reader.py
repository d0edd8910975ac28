"""Read records from the responses of a target."""

from collections.abc import Callable, Mapping
from typing import Any

from config_schema.expressions.jmespath_paths import fields_built
from connectors.client.connector_request import ConnectorRequest
from connectors.client.http_client import HttpClient
from connectors.contracts.types import Record
from connectors.http.message_types import HttpResponse
from connectors.record_versions import read_version
from connectors.records.list_items import add_item_values
from connectors.settings.operations.operation import Operation
from connectors.settings.operations.read_operations import GetOperation, SearchOperation
from connectors.settings.operations.write_operations import CreateOperation
from connectors.settings.target import RecordSettings
from connectors.values.answer_meaning import describe_response
from connectors.values.json_responses import (
    JmesPathExpression,
    UnreadableError,
    as_id,
    as_text,
    states_failure,
)


class RecordReader:
    """Reads records. Every method raises UnreadableResponse, and SettingOverBudget."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def select(self, request: ConnectorRequest, operation: Operation, response: HttpResponse) -> Any:
        """Return what the operation's result expression finds in a response."""
        return self._client.read_value(
            operation.result, request, response, is_object=not _reads_list(operation)
        )

    def read_document(self, request: ConnectorRequest, operation: Operation, response: HttpResponse) -> Any:
        """Return the JSON of a response: an object, unless the operation reads a list."""
        if _reads_list(operation):
            return self._client.read_json(request, response)
        return self._client.read_object(request, response)

    def read_one(
        self,
        request: ConnectorRequest,
        settings: RecordSettings,
        operation: Operation,
        response: HttpResponse,
    ) -> Record:
        """Return the record in a response about one record."""
        return self.parse(request, settings, self.select(request, operation, response), response)

    def read_created(
        self,
        request: ConnectorRequest,
        settings: RecordSettings,
        operation: CreateOperation,
        sent: Record,
        response: HttpResponse,
    ) -> Record:
        """Return the record in the response to a creation. `sent`: its fields, and the key that the hub chose.

        If the settings have `created_id`, the record is returned as it was sent, with the id that this expression
        finds; with the key, if the response is empty and the record was created at the path that has the key as its id.
        """
        described = describe_response(response.status, response.headers, response.body)
        if operation.created_id is None:
            is_at_key = bool(sent.id) and operation.is_at_key(settings.operations.get.path)
            if is_at_key and described["body"] is None:
                return sent
            return self.read_one(request, settings, operation, response)
        document = {**described, "key": sent.id or None}
        value = self._client.evaluate(operation.created_id, request, document)
        try:
            record_id = as_id(value)
        except UnreadableError:
            raise self._client.unreadable_error(request, "the setting `created_id` finds no id") from None
        return Record(record_id, sent.fields)

    def read_same(
        self,
        request: ConnectorRequest,
        settings: RecordSettings,
        operation: Operation,
        record_id: str,
        response: HttpResponse,
    ) -> Record:
        """Return the record in a response about one record, which must have this id."""
        return self._require_same(request, record_id, self.read_one(request, settings, operation, response))

    def read_all(
        self,
        request: ConnectorRequest,
        settings: RecordSettings,
        operation: Operation,
        response: HttpResponse,
    ) -> list[Record]:
        """Return the records of a list; none for a response without content."""
        if response.status == 204:
            return []
        results = self._client.read_list(operation.result, request, self._client.read_json(request, response))
        return [self.parse(request, settings, item) for item in results]

    def parse_item(self, settings: RecordSettings, request: ConnectorRequest, item: Any) -> Record:
        """Read a record that is one of a list."""
        return self.parse(request, settings, item)

    def read_after_update(
        self,
        request: ConnectorRequest,
        settings: RecordSettings,
        operation: Operation,
        sent: Record,
        response: HttpResponse,
    ) -> Record:
        """Return the record in the response to an update, or the record as sent if the response holds none, such as
        `true` or a list of results. A response that is not JSON, such as a log-in page, is not a success, nor is one
        that says that the update failed.
        """
        if not response.body.strip():
            return sent
        fields = self._client.read_value(operation.result, request, response, is_object=False)
        if not isinstance(fields, dict) or self._client.evaluate(settings.id, request, fields) is None:
            self.require_success(request, response)
            return sent
        record = self.parse(request, settings, fields, response)
        return record if settings.id_may_change else self._require_same(request, sent.id, record)

    def require_success(self, request: ConnectorRequest, response: HttpResponse) -> None:
        """Refuse a response with a 2xx status whose body says that the write failed, unless the settings have a rule
        for what a success is.
        """
        if states_failure(response.body) and not self._client.has_success_rule(request):
            raise self._client.unreadable_error(request, "the response has a 2xx status and states a failure")

    def parse(
        self,
        request: ConnectorRequest,
        settings: RecordSettings,
        value: Any,
        response: HttpResponse | None = None,
    ) -> Record:
        """Read a record. `response`: the response if it holds this record alone, so that its headers are about it."""
        record_id, fields = self._client.read_item(settings.id, request, value)
        if settings.list_items:
            fields = add_item_values(settings.list_items, fields)
        if settings.version is None:
            return Record(record_id, fields)
        headers = response.headers if response is not None else {}
        return Record(record_id, fields, read_version(settings.version, fields, headers))

    def read_hit_values(
        self, request: ConnectorRequest, search: SearchOperation, record: Record, field: str
    ) -> tuple[str, ...]:
        """Return what `read_values` returns for a search hit. Refuses one that `result` builds without the field,
        because every record would be missed.
        """
        built = fields_built(search.result.text)
        is_lacking = built is not None and field not in built and field not in record.fields
        if is_lacking and field not in search.field_values:
            reason = f"the records of {search.result.pointer} lack the field “{field}”"
            raise self._client.unreadable_error(request, reason)
        return self.read_values(request, search, record, field)

    def read_values(
        self, request: ConnectorRequest, search: SearchOperation, record: Record, field: str
    ) -> tuple[str, ...]:
        """Return the values that a found record has in a field, as texts. What is neither a text nor a number is no
        value of a field; an expression of `field_values` that finds such a thing is refused, because a record would be
        missed.
        """
        expression = search.field_values.get(field)
        if expression is None:
            own = as_text(record.fields.get(field))
            return () if own is None else (own,)
        values_found = self._client.evaluate_strictly(expression, request, record.fields)
        items = values_found if isinstance(values_found, list) else [values_found]
        values = [as_text(item) for item in items if item is not None]
        if None in values:
            reason = f"`field_values` of “{field}” finds values other than texts and numbers"
            raise self._client.unreadable_error(request, reason)
        return tuple(value for value in values if value is not None)

    def _require_same(self, request: ConnectorRequest, record_id: str, record: Record) -> Record:
        if record.id != record_id:
            raise self._client.unreadable_error(request, "the response is about another record")
        return record


def _reads_list(operation: Operation) -> bool:
    return operation.result.text.lstrip().startswith("[")


def whole_record(
    operation: GetOperation, document: Any, evaluate: Callable[[JmesPathExpression], Any]
) -> Mapping[str, Any] | None:
    """Return the record with all its fields, also those that the `result` expression leaves out; None if it is not
    known where it is. `evaluate` gives what an expression finds in the document.
    """
    selected = evaluate(operation.result)
    # An expression that selects gives a part of the document itself; one that rebuilds gives a new object.
    if isinstance(selected, dict) and _is_part(document, selected):
        return selected
    inner = evaluate(operation.raw) if operation.raw is not None else document
    return inner if isinstance(inner, dict) else None


def _is_part(document: Any, part: object) -> bool:
    if document is part:
        return True
    values = (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    )
    return any(_is_part(value, part) for value in values)
