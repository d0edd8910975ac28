"""Requests of a connector: a template with values, and the URL, headers and body made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.client.client_config import AttemptOptions, ClientConfig
from connectors.contracts import errors
from connectors.exchange import PreparedRequest, Purpose, merge_headers
from connectors.http.query_parameters import Query
from connectors.http.urls import UnsafeValueError, allowed_url_pattern, build_url
from connectors.values.answer_meaning import AnswerRule
from connectors.values.request_bodies import encode_body


@dataclass(frozen=True, slots=True)
class ConnectorRequest:
    """One request of a connector.

    The error statuses in `accepted_statuses` count as a result. `headers` are sent with this request only. Responses
    that match `stale_rules` refuse the version that the request names. `answers` are the rules for responses whose
    status does not say what they mean. `encoding` is `json` or `form`. `searched` has the names of path values that are
    not ids. `id_characters` are the characters that ids may contain in addition to the usual ones.
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
        """Return method and path template, which contain nothing secret or personal."""
        return f"{self.method} {self.path_template}"


def prepare_request(
    config: ClientConfig, options: AttemptOptions, request: ConnectorRequest
) -> PreparedRequest:
    """Return the request with its URL, headers and encoded body. Raises errors.UnsafeRequest."""
    try:
        url = build_url(
            config.base_url,
            request.path_template,
            request.path_values,
            request.query,
            id_characters=request.id_characters,
            searched=request.searched,
        )
        body = None if request.body is None else encode_body(request.body, request.encoding)
    except (UnsafeValueError, TypeError, ValueError, RecursionError) as error:
        # Messages of other errors may quote values of the body.
        reason = str(error) if isinstance(error, UnsafeValueError) else "the request body cannot be encoded"
        raise errors.UnsafeRequest(f"{request.label}: {reason}", side=config.side) from None
    return PreparedRequest(
        purpose=request.purpose,
        method=request.method,
        url=url,
        path_template=request.path_template,
        origin=config.base_url.origin,
        allowed_url=allowed_url_pattern(config.base_url, request.path_template),
        headers=_request_headers(config, options, request),
        body=body,
        idempotency_key=request.idempotency_key,
        is_write=request.is_write,
        # The refusal of a session comes first: no other rule can be evaluated without one.
        answers=(
            *config.refused_rules,
            *request.stale_rules,
            *request.answers,
            *config.answers,
        ),
    )


def _request_headers(
    config: ClientConfig, options: AttemptOptions, request: ConnectorRequest
) -> dict[str, str]:
    headers = dict(config.headers_without_body if request.body is None else config.headers_with_body)
    headers["X-Request-Id"] = options.request_id
    if request.is_write and request.idempotency_key is not None and config.idempotency_header is not None:
        headers[config.idempotency_header] = request.idempotency_key
    # Of writes only: a system may translate values too, and those that were read in another language would differ.
    if request.is_write and options.language:
        headers = merge_headers({"Accept-Language": options.language}, headers)
    return merge_headers(headers, request.headers) if request.headers else headers
