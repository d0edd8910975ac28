"""HTTP client of the connectors: one configured origin, one recorder, and only our own errors."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from config_schema.expressions.expression_budget import MAX_BYTES, MAX_STEPS, ExpressionBudget
from connectors.client.client_config import FIXED_HEADERS, AttemptOptions, ClientConfig
from connectors.client.connector_request import ConnectorRequest, prepare_request
from connectors.client.request_sender import ReceivedResponse, RequestSender
from connectors.contracts import errors
from connectors.contracts.permissions import RenewedCredentials
from connectors.contracts.types import FieldError
from connectors.exchange import PreparedRequest, Recorder, ResponseClassification, TokenSender
from connectors.http.message_types import HttpResponse
from connectors.http.placeholders import fill_template, find_placeholders
from connectors.http.urls import BaseUrl
from connectors.settings.body_template import BodyTemplate
from connectors.values.answer_meaning import Meaning
from connectors.values.json_responses import (
    ExpressionOverBudget,
    ExpressionUnfit,
    JmesPathExpression,
    UnreadableError,
    as_text,
    parse_json,
    parse_object,
    read_item,
)
from connectors.values.secret_forms import SecretSet
from connectors.values.secret_scrubber import SecretScrubber

# Of all expressions that make one request, or read one response.
MAX_RESPONSE_STEPS = 10 * MAX_STEPS
MAX_RESPONSE_BYTES = 16 * MAX_BYTES
_MAX_LANGUAGE_LENGTH = 40

NOT_FOUND_STATUSES = frozenset({404, 410})


class HttpClient:
    """Sends requests to one connection. Raises `errors.ConnectorError` only, and what the recorder raises.

    A read that fails because a pooled connection was closed is sent once more. A request whose credentials are refused
    is sent once more after the authenticator renewed its headers. Each transmission is recorded as an
    exchange of its own. Nothing else is repeated here.

    No record and no error holds a secret of the connection, or another one that `scrubber` looks for.
    """

    def __init__(
        self, config: ClientConfig, options: AttemptOptions, recorder: Recorder, scrubber: SecretScrubber
    ) -> None:
        self.side = config.side
        self._scrubber = scrubber
        scrubber.include(config.secrets)
        self._config = config
        self._options = options
        self._own_secrets: SecretSet | None = None
        self._budget: tuple[ConnectorRequest, ExpressionBudget] | None = None
        self._sender = RequestSender(config, options, recorder, scrubber)

    @property
    def base_url(self) -> BaseUrl:
        """Return the base URL of the connection."""
        return self._config.base_url

    @property
    def secret_parameters(self) -> frozenset[str]:
        """Return the names of the query parameters that have a secret in each request."""
        places = (secret.place for secret in self._config.placed_secrets)
        return frozenset(place.name for place in places if place.kind != "header")

    def contains_secret(self, text: str) -> bool:
        """Return True if a text contains a secret of the connection, in any form."""
        return self._scrubber.contains_secret(text.encode("utf-8", "surrogatepass"))

    def send_request(self, request: ConnectorRequest) -> HttpResponse:
        """Send a request and return the response, which has a 2xx or an accepted status.

        A rule of `answers` gives the response the status of its meaning: 404 for `absent`, whatever it was, and 204 for
        that of a search.
        """
        call = prepare_request(self._config, self._options, request)
        held = self._config.authenticator.get_headers(self._token_sender())
        received = self._sender.send(call, held, request.accepted_statuses)
        classification = self._require_classification(call, received)
        if classification.may_renew:
            # A token may have been revoked before its end.
            renewed = self._config.authenticator.renew_headers(self._token_sender(), held)
            if renewed is not None:
                received = self._sender.send(call, renewed, request.accepted_statuses)
                classification = self._require_classification(call, received)
        self._raise_for_status(call, received.answer, classification)
        return received.answer._replace(status=classification.status)

    def renew_credentials(self) -> RenewedCredentials | None:
        """Fetch new credentials and describe them; None if only a real request can verify them."""
        return self._config.authenticator.renew_credentials(self._token_sender())

    def read_object(self, request: ConnectorRequest, response: HttpResponse) -> dict[str, Any]:
        """Return the response body as a JSON object. Raises UnreadableResponse."""
        try:
            return parse_object(response.body)
        except UnreadableError as unreadable:
            raise self.unreadable_error(request, str(unreadable)) from None

    def read_json(self, request: ConnectorRequest, response: HttpResponse) -> Any:
        """Return the response body as JSON of any type. Raises UnreadableResponse."""
        try:
            return parse_json(response.body)
        except UnreadableError as unreadable:
            raise self.unreadable_error(request, str(unreadable)) from None

    def evaluate(self, expression: JmesPathExpression, request: ConnectorRequest, value: Any) -> Any:
        """Evaluate an expression of the settings over what a response holds. Raises SettingOverBudget."""
        if expression.is_plain:
            return expression.find(value)
        try:
            return expression.evaluate(value, self._budget_of(request))
        except ExpressionOverBudget as costly:
            raise self._over_budget_error(costly, request.label, request.is_write) from None

    def evaluate_strictly(self, expression: JmesPathExpression, request: ConnectorRequest, value: Any) -> Any:
        """Evaluate an expression of the settings over what a response holds. Raises SettingOverBudget, and
        UnreadableResponse if it does not fit.
        """
        if expression.is_plain:
            return expression.find(value)
        try:
            return expression.evaluate_strictly(value, self._budget_of(request))
        except ExpressionUnfit as unfit:
            reason = f"the expression at {unfit} does not fit the data"
            raise self.unreadable_error(request, reason) from None
        except ExpressionOverBudget as costly:
            raise self._over_budget_error(costly, request.label, request.is_write) from None

    def read_value(
        self,
        expression: JmesPathExpression,
        request: ConnectorRequest,
        response: HttpResponse,
        *,
        is_object: bool = True,
    ) -> Any:
        """Return what an expression finds in the body of a response: a JSON object, or any JSON if not `is_object`.
        Raises UnreadableResponse, and SettingOverBudget.
        """
        read = self.read_object if is_object else self.read_json
        document = read(request, response)
        return document if expression.is_current_node else self.evaluate(expression, request, document)

    def read_list(
        self, expression: JmesPathExpression, request: ConnectorRequest, document: Any
    ) -> list[Any]:
        """Return the list that an expression finds in a document. Raises SettingOverBudget, and UnreadableResponse if
        its path is not there: that must never count as an empty list.
        """
        found = document if expression.is_current_node else self.evaluate(expression, request, document)
        if not isinstance(found, list):
            is_whole = expression.is_current_node
            reason = f"what the expression at {expression.pointer} finds in the response is not a list"
            raise self.unreadable_error(request, "the response is not a list" if is_whole else reason)
        try:
            is_lost = not found and expression.loses_all_items(document, self._budget_of(request))
        except ExpressionOverBudget as costly:
            raise self._over_budget_error(costly, request.label, request.is_write) from None
        if is_lost:
            reason = f"the expression at {expression.pointer} finds nothing in any item of the list"
            raise self.unreadable_error(request, reason)
        return found

    def read_item(
        self, id_expression: JmesPathExpression, request: ConnectorRequest, value: Any
    ) -> tuple[str, dict[str, Any]]:
        """Return the id of an entity or a record in a response, and its fields. Raises UnreadableResponse, and
        SettingOverBudget.
        """
        budget = None if id_expression.is_plain else self._budget_of(request)
        try:
            return read_item(value, id_expression, budget)
        except UnreadableError as unreadable:
            raise self.unreadable_error(request, str(unreadable)) from None
        except ExpressionOverBudget as costly:
            raise self._over_budget_error(costly, request.label, request.is_write) from None

    def evaluate_for_request(
        self, expression: JmesPathExpression, request: ConnectorRequest, value: Any
    ) -> Any:
        """Evaluate an expression that makes a part of a request. Raises SettingOverBudget, and UnsafeRequest if it
        does not fit: what is missing must not become an empty value.
        """
        if expression.is_plain:
            return expression.find(value)
        try:
            return expression.evaluate_strictly(value, self._budget_of(request))
        except ExpressionUnfit as unfit:
            raise self.unsafe_error(
                f"{request.label}: the expression at {unfit} does not fit the data"
            ) from None
        except ExpressionOverBudget as costly:
            raise self._over_budget_error(costly, request.label, may_have_applied=False) from None

    def render_body(self, body: BodyTemplate, request: ConnectorRequest, context: Mapping[str, Any]) -> Any:
        """Return the body that a template makes of a context. Raises what `evaluate_for_request` raises."""
        values = {name: as_text(value) or "" for name, value in context.items()}

        def fill(text: str) -> str:
            for name in find_placeholders(text):
                if not values.get(name):
                    raise self.unsafe_error(f"{request.label}: the placeholder {{{name}}} has no value")
            return fill_template(text, values)

        return body.render(lambda one: self.evaluate_for_request(one, request, context), fill)

    def has_success_rule(self, request: ConnectorRequest) -> bool:
        """Return True if a rule of `answers` says which responses to a request are a success."""
        return any(rule.means is Meaning.DONE for rule in (*request.answers, *self._config.answers))

    def unreadable_error(self, request: ConnectorRequest, reason: str) -> errors.UnreadableResponse:
        """Make the error for a response that cannot be used; `reason` must hold nothing of the response."""
        return errors.UnreadableResponse(
            f"{request.label}: {reason}", side=self.side, maybe_applied=request.is_write
        )

    def stale_error(self, request: ConnectorRequest, reason: str) -> errors.RecordStale:
        """Make the error for a write that was not sent, because its record was changed since it was read."""
        return errors.RecordStale(f"{request.label}: {reason}", side=self.side)

    def unsafe_error(self, reason: str, *, maybe_applied: bool = False) -> errors.UnsafeRequest:
        """Make the error for a request that must not be sent, or must not be followed by another one."""
        return errors.UnsafeRequest(reason, side=self.side, maybe_applied=maybe_applied)

    def not_configured_error(self, pointer: str, reason: str) -> errors.NotConfigured:
        """Make the error for a setting that is missing; `pointer` is its JSON pointer in the settings."""
        field = FieldError(pointer, "not-configured", reason)
        return errors.NotConfigured(f"{pointer}: {reason}", side=self.side, fields=(field,))

    def _budget_of(self, request: ConnectorRequest) -> ExpressionBudget:
        """Return the budget that all expressions of one request share: those that make it, or, over its response, those
        that read it. A response may hold thousands of records.
        """
        if self._budget is None or self._budget[0] is not request:
            self._budget = request, ExpressionBudget(MAX_RESPONSE_STEPS, MAX_RESPONSE_BYTES)
        return self._budget[1]

    def _token_sender(self) -> TokenSender:
        return TokenSender(self._fetch_token, self._options.deadline_seconds, self._add_secret)

    def _add_secret(self, secret: str) -> None:
        """Remove a secret of this attempt alone from its records: a token that was made for one request."""
        if self._own_secrets is None:
            self._own_secrets = SecretSet()
            self._scrubber.include(self._own_secrets)
        self._own_secrets.add_recent(secret)

    def _fetch_token(self, call: PreparedRequest, secret_headers: Mapping[str, str]) -> HttpResponse:
        headers = {**FIXED_HEADERS, "X-Request-Id": self._options.request_id, **call.headers}
        return self._sender.send(call._replace(headers=headers), secret_headers).answer

    def _require_classification(
        self, call: PreparedRequest, received: ReceivedResponse
    ) -> ResponseClassification:
        """Return the classification of a response. Raises SettingOverBudget if a rule exceeded its budget."""
        if received.classification is not None:
            return received.classification
        assert received.costly is not None
        may_have_applied = call.is_write and errors.write_may_have_applied(received.answer.status)
        raise self._over_budget_error(received.costly, call.label, may_have_applied)

    def _raise_for_status(
        self, call: PreparedRequest, response: HttpResponse, classification: ResponseClassification
    ) -> None:
        if classification.error is None:
            return
        sentence, fields = self._config.error_extractor.extract_error(
            response.body, response.headers, self._scrubber.scrub_text
        )
        raise classification.error(
            f"{call.label}: responded with {response.status}",
            side=self.side,
            retry_after=self._seconds_to_wait(
                response, is_throttled=classification.error is errors.RequestThrottled
            ),
            sentence=sentence,
            fields=fields,
            maybe_applied=call.is_write and errors.write_may_have_applied(classification.status),
            status=classification.status,
            language=response.headers.get("content-language", "")[:_MAX_LANGUAGE_LENGTH],
            says=classification.says,
        )

    def _seconds_to_wait(self, response: HttpResponse, *, is_throttled: bool) -> float | None:
        """Return the seconds that the system asks to wait: by Retry-After, else by its body, else by the header of the
        settings; None without any.
        """
        now = datetime.now(UTC)
        stated = errors.parse_retry_after(response.headers.get("retry-after"), now)
        if stated is not None:
            return stated
        extractor = self._config.error_extractor
        seconds = extractor.extract_wait(response.body)
        if seconds is None and is_throttled and extractor.wait_header is not None:
            seconds = extractor.wait_header.read_seconds(response.headers, now.timestamp())
        return None if seconds is None else min(seconds, errors.MAX_RETRY_AFTER_SECONDS)

    def _over_budget_error(
        self, costly: ExpressionOverBudget, label: str, may_have_applied: bool
    ) -> errors.SettingOverBudget:
        return errors.SettingOverBudget(
            f"{label}: {costly}", side=self.side, fields=(costly.field,), maybe_applied=may_have_applied
        )
