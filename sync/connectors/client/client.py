"""HTTP as connectors use it: one configured origin, one recorder, our own errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sync.connectors.client.authentication import Authenticator
from sync.connectors.client.exchange import Call, Purpose, Recorder, Sender, Stopwatch, merged, outgoing
from sync.connectors.contracts import errors
from sync.connectors.http.messages import Answer, Broken, Failure, Late, Request, Uncaged, Wire
from sync.connectors.http.transport import transmit
from sync.connectors.http.urls import Base, UnsafeValueError, build_url, is_caged
from sync.connectors.settings.reader import Reach
from sync.connectors.values.exact_numbers import dump
from sync.connectors.values.json_answers import ErrorWords, UnreadableError, as_object, read_json

GONE = frozenset({404, 410})

_FIXED_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "integration-hub",
}
_FAILURES: Mapping[type[Failure], type[errors.ConnectorError]] = {
    Late: errors.TimedOut,
    Broken: errors.Unavailable,
    Uncaged: errors.Unsafe,
}


@dataclass(frozen=True, slots=True)
class Site:
    """What is the same for every attempt over one connection: made once and shared by threads."""

    side: errors.Side
    base: Base
    authenticator: Authenticator
    reach: Reach
    words: ErrorWords
    idempotency_header: str | None = None
    bare_headers: Mapping[str, str] = field(init=False)
    body_headers: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        with_type = _FIXED_HEADERS | {"Content-Type": "application/json"}
        object.__setattr__(self, "bare_headers", merged(_FIXED_HEADERS, self.reach.headers))
        object.__setattr__(self, "body_headers", merged(with_type, self.reach.headers))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a caller wants: `deadline` in seconds for each exchange, `byte_cap` for each answer's body."""

    request_id: str
    deadline: float = 10.0
    byte_cap: int = 1_048_576


@dataclass(frozen=True, slots=True)
class Asked:
    """One request in our terms. `tolerated`: statuses that are answers here and not errors."""

    purpose: Purpose
    method: str
    template: str
    values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    key: str | None = None
    write: bool = False
    tolerated: frozenset[int] = frozenset()

    @property
    def label(self) -> str:
        """The request without anything secret or personal."""
        return f"{self.method} {self.template}"


class HttpClient:
    """Requests to one connection. Raises `errors.ConnectorError` only, and what the recorder raises.

    A read over a kept connection that turns out to be closed is sent once more; a read or write that is
    refused with 401 is sent once more after the authenticator renewed what it holds. Every sending is
    recorded as an exchange of its own. Nothing else is ever repeated here.
    """

    def __init__(self, site: Site, terms: Terms, recorder: Recorder) -> None:
        self.side = site.side
        self._site = site
        self._terms = terms
        self._recorder = recorder
        self._wire = Wire(
            site.base.origin, terms.deadline, terms.byte_cap, site.reach.ca, site.reach.networks
        )

    def ask(self, asked: Asked) -> Answer:
        """The answer, with a status of 2xx or one of those tolerated."""
        call = self._call(asked)
        held = self._site.authenticator.headers(self._sender())
        answer = self._exchange(call, held, asked.tolerated)
        if answer.status == 401:
            renewed = self._site.authenticator.renew(self._sender(), held)
            if renewed is not None:
                answer = self._exchange(call, renewed, asked.tolerated)
        self._refuse_errors(call, answer, asked.tolerated)
        self._refuse_told_errors(call, answer)
        return answer

    def prove(self) -> float | None:
        """Get the credentials that are sent anew; for how many seconds they are good, None where only use tells."""
        return self._site.authenticator.prove(self._sender())

    def read(self, asked: Asked, answer: Answer) -> dict[str, Any]:
        """The answer's body as an object; Garbled where it is not one."""
        try:
            return as_object(self.read_any(asked, answer))
        except UnreadableError as unreadable:
            raise self.garbled(asked, str(unreadable)) from None

    def read_any(self, asked: Asked, answer: Answer) -> Any:
        """The answer's body as JSON of any shape; Garbled where it is not JSON."""
        try:
            return read_json(answer.body)
        except UnreadableError as unreadable:
            raise self.garbled(asked, str(unreadable)) from None

    def garbled(self, asked: Asked, reason: str) -> errors.Garbled:
        """The error for an answer that cannot be believed; the reason holds nothing of the answer."""
        return errors.Garbled(f"{asked.label}: {reason}", side=self.side, maybe_applied=asked.write)

    def unsafe(self, reason: str, *, maybe_applied: bool = False) -> errors.Unsafe:
        """The error for a request that must not be made, or must not be followed by another one."""
        return errors.Unsafe(reason, side=self.side, maybe_applied=maybe_applied)

    def _call(self, asked: Asked) -> Call:
        try:
            url = build_url(self._site.base, asked.template, asked.values, asked.query)
            body = None if asked.body is None else _encode(asked.body)
        except (UnsafeValueError, TypeError, ValueError, RecursionError) as error:
            reason = (
                str(error) if isinstance(error, UnsafeValueError) else "the body cannot be written as JSON"
            )
            raise self.unsafe(f"{asked.label}: {reason}") from None
        return Call(
            purpose=asked.purpose,
            method=asked.method,
            url=url,
            template=asked.template,
            origin=self._site.base.origin,
            is_caged=partial(is_caged, self._site.base, asked.template),
            headers=self._headers(asked),
            body=body,
            key=asked.key,
            write=asked.write,
        )

    def _headers(self, asked: Asked) -> dict[str, str]:
        site = self._site
        headers = dict(site.bare_headers if asked.body is None else site.body_headers)
        headers["X-Request-Id"] = self._terms.request_id
        if asked.write and asked.key is not None and site.idempotency_header is not None:
            headers[site.idempotency_header] = asked.key
        return headers

    def _sender(self) -> Sender:
        return Sender(self._fetch_token, self._terms.deadline)

    def _fetch_token(self, call: Call, secret_headers: Mapping[str, str]) -> Answer:
        headers = {**_FIXED_HEADERS, "X-Request-Id": self._terms.request_id, **call.headers}
        return self._exchange(call._replace(headers=headers), secret_headers)

    def _exchange(
        self, call: Call, secret_headers: Mapping[str, str], tolerated: frozenset[int] = frozenset()
    ) -> Answer:
        try:
            return self._send(call, secret_headers, tolerated)
        except Failure as failure:
            if not (failure.stale and call.method == "GET"):
                raise self._error(call, failure) from None
        try:
            return self._send(call, secret_headers, tolerated)
        except Failure as failure:
            raise self._error(call, failure) from None

    def _send(self, call: Call, secret_headers: Mapping[str, str], tolerated: frozenset[int]) -> Answer:
        """One exchange, on record before and after. Raises Failure."""
        headers = merged(call.headers, secret_headers)
        shown = outgoing(call, headers, secret_headers)
        self._recorder.about_to_send(shown)
        stopwatch = Stopwatch(shown, call, headers)
        request = Request(call.method, call.url, headers, call.body, call.is_caged)
        try:
            answer = transmit(request, self._wire_of(call))
        except Failure as failure:
            error = self._error(call, failure)
            self._recorder.answered(stopwatch.failed(error.code, failure.received))
            raise
        kind = None if answer.status in tolerated else call.error_for(answer.status)
        self._recorder.answered(stopwatch.answered(answer, f"{self.side}-{kind.word}" if kind else None))
        return answer

    def _wire_of(self, call: Call) -> Wire:
        """A token endpoint elsewhere is not bound by what the settings say of the connection's own host."""
        own = self._wire
        return own if call.origin == own.origin else Wire(call.origin, own.seconds, own.byte_cap)

    def _refuse_errors(self, call: Call, answer: Answer, tolerated: frozenset[int]) -> None:
        kind = errors.error_for_status(answer.status)
        if kind is None or answer.status in tolerated:
            return
        sentence, fields = self._site.words.read(answer.body)
        raise kind(
            f"{call.label}: answered {answer.status}",
            side=self.side,
            retry_after=errors.parse_retry_after(answer.headers.get("retry-after"), datetime.now(UTC)),
            sentence=sentence,
            fields=fields,
            maybe_applied=call.write and errors.may_have_applied(answer.status),
        )

    def _refuse_told_errors(self, call: Call, answer: Answer) -> None:
        """Some systems say with 200 that they did not do it."""
        words = self._site.words
        if answer.status >= 300 or not words.tells_error(answer.body):
            return
        sentence, fields = words.read(answer.body)
        message = f"{call.label}: answered {answer.status} with an error in its body"
        raise errors.Rejected(message, side=self.side, sentence=sentence, fields=fields)

    def _error(self, call: Call, failure: Failure) -> errors.ConnectorError:
        kind = _FAILURES.get(type(failure), errors.Garbled)
        within = f" in {self._terms.deadline:g} s" if kind is errors.TimedOut else ""
        message = f"{call.label}: {failure}{within}"
        return kind(message, side=self.side, maybe_applied=call.write and failure.reached)


def _encode(body: Mapping[str, Any]) -> bytes:
    return dump(body).encode("utf-8")
