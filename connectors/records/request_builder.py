"""Requests made of operations: their placeholders filled in, and their bodies rendered."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from connectors.client.connector_request import ConnectorRequest
from connectors.client.http_client import NOT_FOUND_STATUSES, HttpClient
from connectors.contracts.types import Record
from connectors.exchange import Purpose, merge_headers
from connectors.http.placeholders import fill_template, find_placeholders
from connectors.http.query_parameters import Query, QueryValue, change_values
from connectors.lists.page_source import PageSource
from connectors.records.planned_writes import PlannedWrite
from connectors.settings.expression_documents import PAGE_VALUES
from connectors.settings.operations.operation import Operation
from connectors.settings.operations.read_operations import ListOperation
from connectors.settings.setting_kinds import is_header_value
from connectors.settings.target import TargetSettings
from connectors.values.answer_meaning import AnswerRule, Meaning
from connectors.values.json_responses import JmesPathExpression, as_text, is_true_value

Context = Mapping[str, Any]

_CONTEXT_PLACEHOLDERS = ("id", "key", "field", "value")
_SEARCHED = frozenset({"field", "value"})
_FORM_TYPE = "application/x-www-form-urlencoded"


class RequestBuilder:
    """Builds the requests of one connection. Raises UnsafeRequest for values that must not be sent, and
    SettingOverBudget.
    """

    def __init__(self, client: HttpClient, settings: TargetSettings) -> None:
        self._client = client
        self._settings = settings

    def build_get(self, operation: Operation, record_id: str) -> ConnectorRequest:
        """Return the request for one record. A status for an absent record is a result."""
        return self._build("get", operation, {"id": record_id}, accepted_statuses=NOT_FOUND_STATUSES)

    def build_list(
        self, operation: ListOperation, parse_item: Callable[[ConnectorRequest, Any], Record]
    ) -> PageSource[Record]:
        """Return the list that an operation describes. Its requests may use the values that name a page."""
        in_request = frozenset(name for name in PAGE_VALUES if operation.uses(name))

        def make_request(values: Context) -> ConnectorRequest:
            return self._build("list", operation, {**dict.fromkeys(in_request), **values})

        return PageSource(operation, operation.path, operation.result, make_request, parse_item, in_request)

    def build_search(self, operation: Operation, field: str, value: str) -> ConnectorRequest:
        """Return the request for the records that have a value. A status for an absent record is a result, and by a
        rule of the search a result without records.
        """
        context = {"field": field, "value": value}
        request = self._build("search", operation, context, accepted_statuses=NOT_FOUND_STATUSES)
        if not any(rule.means is Meaning.ABSENT for rule in request.answers):
            return request
        return replace(request, answers=tuple(map(_to_search_rule, request.answers)))

    def build_write(
        self, purpose: Purpose, write: PlannedWrite, context: Context, idempotency_key: str
    ) -> ConnectorRequest:
        """Return the request of a write."""
        return self._build(
            purpose, write.operation, {**context, "sent": write.sent}, write, idempotency_key=idempotency_key
        )

    def is_wanted(self, operation: Operation, condition: JmesPathExpression, context: Context) -> bool:
        """Return True unless the condition of an operation leaves its request out."""
        request = ConnectorRequest("update", operation.method, operation.path)
        return is_true_value(self._client.evaluate(condition, request, context))

    def _build(
        self,
        purpose: Purpose,
        operation: Operation,
        context: Context,
        write: PlannedWrite | None = None,
        *,
        accepted_statuses: frozenset[int] = frozenset(),
        idempotency_key: str | None = None,
    ) -> ConnectorRequest:
        # For the budget and the errors below: the whole request is made once, at the end.
        request = ConnectorRequest(purpose, operation.method, operation.path)
        values = self._placeholder_values(request, operation, context)
        query = self._fill_query(request, operation.query, values) if operation.query else {}
        body = self._render_body(request, operation, context, values, write)
        headers = self._headers(request, operation, values, has_body=body is not None)
        return ConnectorRequest(
            purpose,
            operation.method,
            operation.path,
            path_values={name: values[name] for name in self._require(request, operation.path, values)},
            query=query if write is None else {**query, **write.query},
            body=body,
            idempotency_key=idempotency_key,
            is_write=write is not None,
            accepted_statuses=accepted_statuses,
            headers=merge_headers(write.headers, headers) if write and write.headers else headers,
            stale_rules=() if write is None else write.stale_rules,
            answers=operation.answers,
            encoding=operation.encoding,
            searched=_SEARCHED,
            id_characters=self._settings.id_characters,
        )

    def _render_body(
        self,
        request: ConnectorRequest,
        operation: Operation,
        context: Context,
        values: Mapping[str, str],
        write: PlannedWrite | None,
    ) -> Any:
        if operation.encoding == "none":
            return None
        if operation.body is None:
            return None if write is None else write.sent
        return operation.body.render(
            lambda expression: self._client.evaluate_for_request(expression, request, context),
            lambda text: self._fill(request, text, values),
        )

    def _placeholder_values(
        self, request: ConnectorRequest, operation: Operation, context: Context
    ) -> dict[str, str]:
        values = {name: context[name] for name in _CONTEXT_PLACEHOLDERS if context.get(name) is not None}
        for name, expression in operation.values.items():
            text = as_text(self._client.evaluate_for_request(expression, request, context))
            if text:
                values[name] = text
        return values

    def _require(self, request: ConnectorRequest, template: str, values: Mapping[str, str]) -> frozenset[str]:
        """Return the placeholders of a template. Raises UnsafeRequest if one has no value."""
        names = find_placeholders(template)
        for name in names:
            if not values.get(name):
                raise self._client.unsafe_error(f"{request.label}: the placeholder {{{name}}} has no value")
        return names

    def _fill_query(
        self, request: ConnectorRequest, query: Query, values: Mapping[str, str]
    ) -> dict[str, QueryValue]:
        return change_values(
            query,
            lambda text: self._fill(request, text, values),
            lambda name: self._fill(request, name, values),
        )

    def _fill_all(
        self, request: ConnectorRequest, templates: Mapping[str, str], values: Mapping[str, str]
    ) -> dict[str, str]:
        return {
            self._fill(request, name, values): self._fill(request, text, values)
            for name, text in templates.items()
        }

    def _fill(self, request: ConnectorRequest, template: str, values: Mapping[str, str]) -> str:
        if not self._require(request, template, values):
            return template
        return fill_template(template, values)

    def _headers(
        self, request: ConnectorRequest, operation: Operation, values: Mapping[str, str], *, has_body: bool
    ) -> dict[str, str]:
        headers = self._fill_all(request, operation.headers, values)
        for text in headers.values():
            if not is_header_value(text):
                raise self._client.unsafe_error(f"{request.label}: a value cannot be used in a header")
        is_form = operation.encoding == "form" and has_body
        return merge_headers({"Content-Type": _FORM_TYPE}, headers) if is_form else headers


def _to_search_rule(rule: AnswerRule) -> AnswerRule:
    return replace(rule, means=Meaning.NONE_FOUND) if rule.means is Meaning.ABSENT else rule
