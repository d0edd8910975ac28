"""Outgoing requests, and the records of them before and after they are sent."""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Literal, NamedTuple, Protocol

from connectors.contracts import errors
from connectors.http.message_heads import count_request_bytes
from connectors.http.message_types import DeadlineExceeded, HttpRequest, HttpResponse
from connectors.values.answer_meaning import AnswerRule, Meaning, find_rule, status_of
from connectors.values.secret_scrubber import MASK, SecretScrubber

Purpose = Literal["fetch", "list", "get", "search", "create", "update", "delete", "token", "probe"]

# More of a body than any recorder stores, so that no secret is cut by its limit before it is found.
MAX_RECORDED_BODY = 131_072
MAX_RECORDED_VALUE = 1_000
_MASK_BYTES = MASK.encode()
SAFE_HEADERS = frozenset(
    {"content-type", "retry-after", "date", "x-request-id", "idempotent-replayed", "etag", "location"}
)


class OutgoingRequest(NamedTuple):
    """A request that is about to be sent, with its secrets masked.

    `path_template` holds no values. `url` and `body` hold personal data and belong in encrypted storage.
    Secrets are replaced by `***` in `url`, `headers` and `body`, and so is the whole body of a token request.
    """

    purpose: Purpose
    method: str
    url: str
    path_template: str
    headers: Mapping[str, str]
    body: bytes | None
    idempotency_key: str | None
    is_write: bool


class RecordedExchange(NamedTuple):
    """A finished exchange. `error_code` is a code of the catalogue; `status` is None if no complete response
    arrived.

    `headers` and `body` are without the connection's secrets, which a system may repeat; `body` is cut at 128 KiB.
    `sent_bytes` counts the request line, headers and body; `received_bytes` counts all bytes read from the
    connection, headers and chunk framing included.
    """

    request: OutgoingRequest
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    started_at: datetime
    seconds: float
    sent_bytes: int
    received_bytes: int
    error_code: str | None


class Recorder(Protocol):
    """Receives every request of a client, reads and token requests included."""

    def record_request(self, request: OutgoingRequest) -> None:
        """Record a request before it is sent. An exception stops the request and reaches the caller."""

    def check_before_sending(self, request: OutgoingRequest) -> None:
        """Check a recorded write once more, right before its first byte leaves. An exception stops the request
        and reaches the caller; nothing was sent. Not called for reads.
        """

    def record_exchange(self, exchange: RecordedExchange) -> None:
        """Record the result, failures included, once for each request that was recorded and not stopped."""


# Meanings that have an error of their own, whatever the status.
_ERROR_OF_MEANING: Mapping[Meaning, type[errors.ConnectorError]] = {
    Meaning.STALE: errors.RecordStale,
    Meaning.EXISTS: errors.RecordExists,
}


class ResponseClassification(NamedTuple):
    """The meaning of a response for the request.

    `status` is the status of the response or, if a rule of the settings matches, one that has the meaning of that rule.
    `error` is None for success. `matches_rule` is true if a rule decided, `may_renew` if new credentials may help.
    `says` is the sentence of that rule for people, by language; None for that of the system.
    """

    status: int
    error: type[errors.ConnectorError] | None
    matches_rule: bool = False
    may_renew: bool = False
    says: Mapping[str, str] | None = None


class PreparedRequest(NamedTuple):
    """A request that lacks only its secret headers.

    It is not sent after `sent_before`, a time of the monotonic clock; None means no limit.
    """

    purpose: Purpose
    method: str
    url: str
    path_template: str
    origin: str
    allowed_url: re.Pattern[str]
    headers: Mapping[str, str]
    body: bytes | None
    idempotency_key: str | None
    is_write: bool
    answers: tuple[AnswerRule, ...] = ()
    sent_before: float | None = None

    def __repr__(self) -> str:
        return f"<Call {self.label}>"

    @property
    def label(self) -> str:
        """Return method and path template, which contain nothing secret or personal."""
        return f"{self.method} {self.path_template}"

    def classify(
        self, answer: HttpResponse, accepted_statuses: frozenset[int] = frozenset()
    ) -> ResponseClassification:
        """Classify a response: by the first rule that matches, otherwise by its status.

        A status in `accepted_statuses` is a success, and a 4xx of a token endpoint means refused credentials. Raises
        ExpressionOverBudget.
        """
        # Most requests have no rules.
        rule = find_rule(self.answers, answer.status, answer.headers, answer.body) if self.answers else None
        if rule is not None:
            status = status_of(rule.means, answer.status)
            kind = _ERROR_OF_MEANING.get(rule.means) or errors.error_for_status(status)
            error = None if status in accepted_statuses else kind
            may_renew = rule.means is Meaning.CREDENTIALS
            return ResponseClassification(
                status, error, matches_rule=True, may_renew=may_renew, says=rule.says
            )
        may_renew = answer.status == 401
        if answer.status in errors.SUCCESS_STATUSES or answer.status in accepted_statuses:
            return ResponseClassification(answer.status, None, may_renew=may_renew)
        kind = errors.error_for_status(answer.status)
        is_token_refusal = kind is errors.RequestRejected and self.purpose == "token"
        refusal = errors.CredentialsRefused if is_token_refusal else kind
        return ResponseClassification(answer.status, refusal, may_renew=may_renew)

    def error_for(
        self, answer: HttpResponse, accepted_statuses: frozenset[int] = frozenset()
    ) -> type[errors.ConnectorError] | None:
        """Return the error for a response, None for success. Raises ExpressionOverBudget."""
        return self.classify(answer, accepted_statuses).error


class SignedRequest(NamedTuple):
    """A request as it is sent, the headers that sign it, and what is secret in them: good for one transmission."""

    call: PreparedRequest
    headers: Mapping[str, str]
    secret: str

    def __repr__(self) -> str:
        return f"<SignedRequest {self.call.label}>"


RequestSigner = Callable[[PreparedRequest], SignedRequest]


class TokenSender(NamedTuple):
    """Sends a token request with its secret headers.

    `send` returns a response of any status within `timeout_seconds`, and raises errors.ConnectorError. After
    `add_secret(text)`, no record of this client shows the text.
    """

    send: Callable[[PreparedRequest, Mapping[str, str]], HttpResponse]
    timeout_seconds: float
    add_secret: Callable[[str], None] = lambda _: None


def merge_headers(headers: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    """Merge two sets of headers; `overrides` wins, whatever the case of the names."""
    names = [name.lower() for name in overrides]
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(overrides)


class StartedExchange(NamedTuple):
    """An exchange whose request is on record and is sent next. Records its result.

    `started` is a time of the monotonic clock.
    """

    request: HttpRequest
    started_at: datetime
    started: float
    call: PreparedRequest
    outgoing: OutgoingRequest
    recorder: Recorder
    scrubber: SecretScrubber

    def __repr__(self) -> str:
        return f"<StartedExchange {self.call.label}>"

    def record_response(self, answer: HttpResponse, error: str | None) -> None:
        """Record a response with any status, without secrets."""
        body = answer.body[:MAX_RECORDED_BODY]
        kept = {name: value for name, value in answer.headers.items() if name in SAFE_HEADERS}
        if self.call.purpose == "token":
            # The whole response is secret, and the location may contain the token, which is not known yet.
            body = _MASK_BYTES
            kept.pop("location", None)
        _, masked, body = _mask_message("", kept, body, self.scrubber)
        headers = {name: value[:MAX_RECORDED_VALUE] for name, value in masked.items()}
        self._record(answer.status, headers, body, answer.bytes_received, error)

    def record_failure(self, error: str, received: int) -> None:
        """Record that no complete response arrived."""
        self._record(None, {}, b"", received, error)

    def _record(
        self, status: int | None, headers: Mapping[str, str], body: bytes, received: int, error: str | None
    ) -> None:
        self.recorder.record_exchange(
            RecordedExchange(
                request=self.outgoing,
                status=status,
                headers=headers,
                body=body,
                started_at=self.started_at,
                seconds=time.monotonic() - self.started,
                sent_bytes=count_request_bytes(self.request, self.call.origin),
                received_bytes=received,
                error_code=error,
            )
        )


def start_exchange(
    call: PreparedRequest,
    masked: PreparedRequest,
    secret_headers: Mapping[str, str],
    recorder: Recorder,
    scrubber: SecretScrubber,
) -> StartedExchange:
    """Record a request with its secrets masked, and return the exchange that sends it. Raises what the recorder
    raises. `masked`: the same request without the secrets in its URL and its body.
    """
    headers = merge_headers(call.headers, secret_headers)
    outgoing = _mask_request(masked, {**headers, **dict.fromkeys(secret_headers, MASK)}, scrubber)
    recorder.record_request(outgoing)
    request = HttpRequest(call.method, call.url, headers, call.body, call.allowed_url)
    if outgoing.is_write:
        request = request._replace(before_sending=partial(recorder.check_before_sending, outgoing))
    elif call.sent_before is not None:
        request = request._replace(before_sending=partial(_require_time_left, call.sent_before))
    return StartedExchange(request, datetime.now(UTC), time.monotonic(), call, outgoing, recorder, scrubber)


def _require_time_left(sent_before: float) -> None:
    """Raise DeadlineExceeded if the time is over: waiting for a turn or the database, or a stopped process, took it."""
    if time.monotonic() > sent_before:
        raise DeadlineExceeded("the request was not sent")


def _mask_request(
    call: PreparedRequest, headers: Mapping[str, str], scrubber: SecretScrubber
) -> OutgoingRequest:
    body = _MASK_BYTES if call.purpose == "token" else call.body
    url, headers, masked = _mask_message(call.url, headers, body or b"", scrubber)
    return OutgoingRequest(
        call.purpose,
        call.method,
        url,
        call.path_template,
        headers,
        None if body is None else masked,
        call.idempotency_key,
        call.is_write,
    )


def _mask_message(
    url: str, headers: Mapping[str, str], body: bytes, scrubber: SecretScrubber
) -> tuple[str, Mapping[str, str], bytes]:
    """Return URL, headers and body without secrets."""
    texts = "\0".join([url, *headers.values()]).encode("utf-8", "surrogatepass")
    # In one search: most messages contain none.
    if not scrubber.contains_secret(texts, body):
        return url, headers, body
    masked = {name: scrubber.scrub_text(value) for name, value in headers.items()}
    return scrubber.scrub_text(url), masked, scrubber.scrub_bytes(body)
