"""HTTP client of the connectors: one configured origin, one recorder, and only our own errors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from sync.connectors.client.authentication import Authenticator
from sync.connectors.client.exchange import (
    ExchangeTimer,
    Judgement,
    PreparedRequest,
    Purpose,
    Recorder,
    TokenSender,
    mask_secrets,
    merge_headers,
)
from sync.connectors.contracts import errors
from sync.connectors.contracts.permissions import RenewedCredentials
from sync.connectors.contracts.types import ABSENT_ID_STATUSES, ABSENT_IDS, FieldError
from sync.connectors.http.message_types import (
    ConnectionFailed,
    DeadlineExceeded,
    ExchangeFailure,
    HttpEndpoint,
    HttpRequest,
    HttpResponse,
    UrlNotAllowed,
)
from sync.connectors.http.query_parameters import Query
from sync.connectors.http.transport import transmit_request
from sync.connectors.http.urls import BaseUrl, UnsafeValueError, build_url, is_allowed_url
from sync.connectors.settings.shared_settings import ConnectionOptions, ReadRequest
from sync.connectors.values.answer_meaning import AnswerRule
from sync.connectors.values.json_responses import (
    ErrorExtractor,
    ExpressionOverBudget,
    ExpressionUnfit,
    JmesPathExpression,
    UnreadableError,
    as_object,
    parse_json,
)
from sync.connectors.values.request_bodies import encode_body
from sync.connectors.values.secret_forms import SecretSet
from sync.connectors.values.secret_scrubber import SecretScrubber
from webhooks.expressions.expression_budget import MAX_BYTES, MAX_STEPS, ExpressionBudget

# Of all expressions over one response.
MAX_RESPONSE_STEPS = 10 * MAX_STEPS
MAX_RESPONSE_BYTES = 16 * MAX_BYTES

NOT_FOUND_STATUSES = frozenset({404, 410})
# Purposes of requests that change nothing, whatever their method.
_READS: frozenset[Purpose] = frozenset({"fetch", "list", "get", "search", "probe"})
_ERROR_STATUSES = frozenset(range(300, 600))
# Names of methods that a response may hold; anything else in it is ignored.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Longer than a list of all methods.
_MAX_ALLOW_LENGTH = 200

_FIXED_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "integration-hub",
}
_ERRORS_BY_FAILURE: Mapping[type[ExchangeFailure], type[errors.ConnectorError]] = {
    DeadlineExceeded: errors.RequestTimedOut,
    ConnectionFailed: errors.SystemUnavailable,
    UrlNotAllowed: errors.UnsafeRequest,
}


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Configuration shared by all attempts over one connection: built once and used by several threads.

    `refused_rules`: responses, besides those with status 401, that refuse the credentials. `answers`: rules on what the
    responses to all its requests mean, after those of a request.
    """

    side: errors.Side
    base_url: BaseUrl
    authenticator: Authenticator
    options: ConnectionOptions
    error_extractor: ErrorExtractor
    secrets: SecretSet
    idempotency_header: str | None = None
    refused_rules: tuple[AnswerRule, ...] = ()
    answers: tuple[AnswerRule, ...] = ()
    headers_without_body: Mapping[str, str] = field(init=False)
    headers_with_body: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        with_type = _FIXED_HEADERS | {"Content-Type": "application/json"}
        object.__setattr__(self, "headers_without_body", merge_headers(_FIXED_HEADERS, self.options.headers))
        object.__setattr__(self, "headers_with_body", merge_headers(with_type, self.options.headers))


@dataclass(frozen=True, slots=True)
class AttemptOptions:
    """Options of one attempt: `deadline_seconds` for each exchange, `byte_cap` for the body of each response."""

    request_id: str
    deadline_seconds: float = 10.0
    byte_cap: int = 1_048_576


@dataclass(frozen=True, slots=True)
class ConnectorRequest:
    """One request of a connector. `accepted_statuses`: error statuses that this request treats as a result.
    `headers`: those of this request alone. `stale_rules`: responses that refuse the version which it names.
    `answers`: what responses mean, where the status alone does not say it. `encoding`: `json` or `form`. `searched`:
    names of path values that are no ids, and `id_characters` what ids may hold besides the usual characters.
    """

    purpose: Purpose
    method: str
    path_template: str
    path_values: Mapping[str, str] = field(default_factory=dict)
    query: Query = field(default_factory=dict)
    body: Any = None
    idempotency_key: str | None = None
    is_write: bool = False
    accepted_statuses: frozenset[int] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)
    stale_rules: tuple[AnswerRule, ...] = ()
    answers: tuple[AnswerRule, ...] = ()
    encoding: str = "json"
    searched: frozenset[str] = frozenset()
    id_characters: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """Return method and path template, which hold nothing secret or personal."""
        return f"{self.method} {self.path_template}"


class _Received(NamedTuple):
    """A response and what it means; None if a rule was stopped, with the error that says so. Raised again only after
    the response was recorded.
    """

    answer: HttpResponse
    judgement: Judgement | None
    costly: ExpressionOverBudget | None = None


def _judge_answer(
    call: PreparedRequest, answer: HttpResponse, accepted_statuses: frozenset[int]
) -> _Received:
    try:
        return _Received(answer, call.judge(answer, accepted_statuses))
    except ExpressionOverBudget as costly:
        return _Received(answer, None, costly)


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
        self._recorder = recorder
        self._own_secrets: SecretSet | None = None
        # Shared by the expressions that read one response: it may hold thousands of records.
        self._budget = ExpressionBudget(MAX_RESPONSE_STEPS, MAX_RESPONSE_BYTES)
        self._endpoint = HttpEndpoint(
            config.base_url.origin,
            options.deadline_seconds,
            options.byte_cap,
            config.options.ca_certificates,
            config.options.allowed_networks,
        )

    @property
    def base_url(self) -> BaseUrl:
        """Return the base URL of the connection."""
        return self._config.base_url

    def send_request(self, request: ConnectorRequest) -> HttpResponse:
        """Send a request and return the response, which has a 2xx or an accepted status.

        A rule of `answers` gives the response the status of its meaning: 404 for `absent`, whatever it was.
        """
        call = self._prepare_request(request)
        held = self._config.authenticator.get_headers(self._token_sender())
        received = self._send_with_retry(call, held, request.accepted_statuses)
        judged = self._require_judgement(call, received)
        if judged.may_renew:
            # A token may have been revoked before its end.
            renewed = self._config.authenticator.renew_headers(self._token_sender(), held)
            if renewed is not None:
                received = self._send_with_retry(call, renewed, request.accepted_statuses)
                judged = self._require_judgement(call, received)
        self._raise_for_status(call, received.answer, judged)
        if not judged.is_stated:
            self._raise_for_error_in_body(call, received.answer)
        self.reset_budget()
        return received.answer._replace(status=judged.status)

    def reset_budget(self) -> None:
        """Give the next expressions a whole budget: they share it until the next response."""
        self._budget = ExpressionBudget(MAX_RESPONSE_STEPS, MAX_RESPONSE_BYTES)

    def request_absent_item(
        self,
        request: ConnectorRequest,
        name_item: Callable[[ConnectorRequest, str], ConnectorRequest] | None = None,
    ) -> None:
        """Request an item that does not exist, to test the credentials. Raises what `send_request` raises.

        `name_item` puts an id into the request; without it, the path has the placeholder `{id}`.
        """
        self.request_absent_items(
            [
                replace(request, path_values={"id": absent_id})
                if name_item is None
                else name_item(request, absent_id)
                for absent_id in ABSENT_IDS
            ]
        )

    def request_absent_items(self, requests: Sequence[ConnectorRequest]) -> None:
        """Send requests for items that do not exist, until the system can answer one. Raises what `send_request`
        raises.
        """
        for request in requests:
            try:
                self.send_request(replace(request, accepted_statuses=ABSENT_ID_STATUSES))
            except errors.SystemUnavailable as failure:
                # Some systems fail on an id of another form than theirs.
                if failure.status is None or request is requests[-1]:
                    raise
            else:
                return

    def can_send(self, probe: ReadRequest | None, answers: tuple[AnswerRule, ...] = ()) -> bool:
        """Return True if the system answers a configured request with a success; False if there is none."""
        if probe is None:
            return False
        self.send_request(ConnectorRequest("probe", "GET", probe.path, query=probe.query, answers=answers))
        return True

    def read_allowed_methods(self, path_template: str, path_values: Mapping[str, str]) -> frozenset[str]:
        """Ask by OPTIONS which methods a path accepts; none if the system does not say.

        The answer is about the path (RFC 9110, 10.2.1), not about the credentials.
        """
        request = ConnectorRequest(
            "probe", "OPTIONS", path_template, path_values=path_values, accepted_statuses=_ERROR_STATUSES
        )
        answer = self.send_request(request)
        # 405 has the header too; in other errors it is about something else, if it is there at all.
        says = answer.headers.get("allow", "") if answer.status < 300 or answer.status == 405 else ""
        names = {name.strip().upper() for name in says[:_MAX_ALLOW_LENGTH].split(",")}
        return frozenset(names & _METHODS)

    def renew_credentials(self) -> RenewedCredentials | None:
        """Fetch new credentials and describe them; None if only a real request can verify them."""
        return self._config.authenticator.renew_credentials(self._token_sender())

    def read_object(self, request: ConnectorRequest, response: HttpResponse) -> dict[str, Any]:
        """Return the response body as a JSON object. Raises UnreadableResponse."""
        try:
            return as_object(self.read_json(request, response))
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
        try:
            return expression.evaluate(value, self._budget)
        except ExpressionOverBudget as costly:
            raise self._over_budget_error(costly, request.label, request.is_write) from None

    def evaluate_for_request(
        self, expression: JmesPathExpression, request: ConnectorRequest, value: Any
    ) -> Any:
        """Evaluate an expression that makes a part of a request. Raises SettingOverBudget, and UnsafeRequest if it
        does not fit: what is missing must not become an empty value.
        """
        try:
            return expression.evaluate_strictly(value, self._budget)
        except ExpressionUnfit as unfit:
            raise self.unsafe_error(
                f"{request.label}: the expression at {unfit} does not fit the data"
            ) from None
        except ExpressionOverBudget as costly:
            raise self._over_budget_error(costly, request.label, may_have_applied=False) from None

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

    def _prepare_request(self, request: ConnectorRequest) -> PreparedRequest:
        try:
            url = build_url(
                self._config.base_url,
                request.path_template,
                request.path_values,
                request.query,
                id_characters=request.id_characters,
                searched=request.searched,
            )
            body = None if request.body is None else encode_body(request.body, request.encoding)
        except (UnsafeValueError, TypeError, ValueError, RecursionError) as error:
            # Messages of other errors may quote values of the body.
            reason = (
                str(error) if isinstance(error, UnsafeValueError) else "the request body cannot be encoded"
            )
            raise self.unsafe_error(f"{request.label}: {reason}") from None
        return PreparedRequest(
            purpose=request.purpose,
            method=request.method,
            url=url,
            path_template=request.path_template,
            origin=self._config.base_url.origin,
            is_allowed_url=partial(is_allowed_url, self._config.base_url, request.path_template),
            headers=self._request_headers(request),
            body=body,
            idempotency_key=request.idempotency_key,
            is_write=request.is_write,
            # The refusal of a session comes first: no other rule can be judged without one.
            answers=(
                *self._config.refused_rules,
                *request.stale_rules,
                *request.answers,
                *self._config.answers,
            ),
        )

    def _request_headers(self, request: ConnectorRequest) -> dict[str, str]:
        site = self._config
        headers = dict(site.headers_without_body if request.body is None else site.headers_with_body)
        headers["X-Request-Id"] = self._options.request_id
        if request.is_write and request.idempotency_key is not None and site.idempotency_header is not None:
            headers[site.idempotency_header] = request.idempotency_key
        return merge_headers(headers, request.headers) if request.headers else headers

    def _token_sender(self) -> TokenSender:
        return TokenSender(self._fetch_token, self._options.deadline_seconds, self._add_secret)

    def _add_secret(self, secret: str) -> None:
        """Remove a secret of this attempt alone from its records: a token that was made for one request."""
        if self._own_secrets is None:
            self._own_secrets = SecretSet()
            self._scrubber.include(self._own_secrets)
        self._own_secrets.add_recent(secret)

    def _fetch_token(self, call: PreparedRequest, secret_headers: Mapping[str, str]) -> HttpResponse:
        headers = {**_FIXED_HEADERS, "X-Request-Id": self._options.request_id, **call.headers}
        return self._send_with_retry(call._replace(headers=headers), secret_headers).answer

    def _send_with_retry(
        self,
        call: PreparedRequest,
        secret_headers: Mapping[str, str],
        accepted_statuses: frozenset[int] = frozenset(),
    ) -> _Received:
        try:
            return self._send_once(call, secret_headers, accepted_statuses)
        except ExchangeFailure as failure:
            # Only reads are repeated: a write over a closed connection may have arrived.
            is_read = call.method in ("GET", "OPTIONS") or call.purpose in _READS
            if not (failure.was_pooled and is_read):
                raise self._connector_error(call, failure) from None
        try:
            return self._send_once(call, secret_headers, accepted_statuses)
        except ExchangeFailure as failure:
            raise self._connector_error(call, failure) from None

    def _send_once(
        self, call: PreparedRequest, secret_headers: Mapping[str, str], accepted_statuses: frozenset[int]
    ) -> _Received:
        """Run one exchange and record it before and after. Raises ExchangeFailure."""
        headers = merge_headers(call.headers, secret_headers)
        masked_headers = mask_secrets(call, headers, secret_headers, self._scrubber)
        self._recorder.record_request(masked_headers)
        stopwatch = ExchangeTimer(masked_headers, call, headers, self._scrubber)
        check = partial(self._recorder.check_before_sending, masked_headers)
        request = HttpRequest(call.method, call.url, headers, call.body, call.is_allowed_url, check)
        try:
            answer = transmit_request(request, self._endpoint_for(call))
        except ExchangeFailure as failure:
            error = self._connector_error(call, failure)
            self._recorder.record_exchange(stopwatch.record_failure(error.code, failure.bytes_received))
            raise
        received = _judge_answer(call, answer, accepted_statuses)
        kind = received.judgement.error if received.judgement else errors.SettingOverBudget
        self._recorder.record_exchange(
            stopwatch.record_response(answer, f"{self.side}-{kind.code_suffix}" if kind else None)
        )
        return received

    def _endpoint_for(self, call: PreparedRequest) -> HttpEndpoint:
        """Return the endpoint for a request. Only the connection's own origin uses its certificates and
        networks, a token endpoint elsewhere does not.
        """
        own = self._endpoint
        return (
            own
            if call.origin == own.origin
            else HttpEndpoint(call.origin, own.deadline_seconds, own.byte_cap)
        )

    def _require_judgement(self, call: PreparedRequest, received: _Received) -> Judgement:
        """Return what a response means. Raises SettingOverBudget if a rule cost too much."""
        if received.judgement is not None:
            return received.judgement
        assert received.costly is not None
        may_have_applied = call.is_write and errors.write_may_have_applied(received.answer.status)
        raise self._over_budget_error(received.costly, call.label, may_have_applied)

    def _raise_for_status(self, call: PreparedRequest, response: HttpResponse, judged: Judgement) -> None:
        if judged.error is None:
            return
        sentence, fields = self._config.error_extractor.extract_error(
            response.body, self._scrubber.scrub_text
        )
        raise judged.error(
            f"{call.label}: responded with {response.status}",
            side=self.side,
            retry_after=errors.parse_retry_after(response.headers.get("retry-after"), datetime.now(UTC)),
            sentence=sentence,
            fields=fields,
            maybe_applied=call.is_write and errors.write_may_have_applied(judged.status),
            status=judged.status,
        )

    def _raise_for_error_in_body(self, call: PreparedRequest, response: HttpResponse) -> None:
        """Raise RequestRejected for a 2xx response whose body reports an error, as some systems send."""
        words = self._config.error_extractor
        try:
            if response.status >= 300 or not words.is_error(response.body):
                return
        except ExpressionOverBudget as costly:
            raise self._over_budget_error(costly, call.label, call.is_write) from None
        sentence, fields = words.extract_error(response.body, self._scrubber.scrub_text)
        message = f"{call.label}: responded with {response.status} and an error in its body"
        raise errors.RequestRejected(message, side=self.side, sentence=sentence, fields=fields)

    def _over_budget_error(
        self, costly: ExpressionOverBudget, label: str, may_have_applied: bool
    ) -> errors.SettingOverBudget:
        return errors.SettingOverBudget(
            f"{label}: {costly}", side=self.side, fields=(costly.field,), maybe_applied=may_have_applied
        )

    def _connector_error(self, call: PreparedRequest, failure: ExchangeFailure) -> errors.ConnectorError:
        kind = _ERRORS_BY_FAILURE.get(type(failure), errors.UnreadableResponse)
        within = f" in {self._options.deadline_seconds:g} s" if kind is errors.RequestTimedOut else ""
        message = f"{call.label}: {failure}{within}"
        return kind(message, side=self.side, maybe_applied=call.is_write and failure.may_have_arrived)
