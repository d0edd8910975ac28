"""Write a standard answer in another response format. Pure.

The shapes are those of the vendors:
- Ory Kratos, https://www.ory.com/docs/guides/integrate-with-ory-cloud-through-webhooks
- Okta, https://developer.okta.com/docs/references/registration-hook/
- Zitadel, https://zitadel.com/docs/guides/integrate/actions/usage
- SCIM, RFC 7644, section 3.12
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jmespath.exceptions import JMESPathError

from config_schema.codes.codes import NOT_STORED_CODES
from config_schema.codes.outcome import OBSERVED
from config_schema.expressions.expression_budget import OverBudget
from webhooks.responses.response_format import CustomAnswer, CustomFormat, PrefixedFormat, ResponseFormat

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_WITHOUT_BODY = frozenset({204, 205})
_SCIM_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
# Kratos asks for a number with each message and shows it nowhere.
_MESSAGE_ID = 4_000_000


class CannotRender(Exception):
    """An answer cannot be written in a response format. The text says why, and repeats nothing of the answer."""


@dataclass(frozen=True, slots=True)
class RenderedAnswer:
    """Status and body of an answer in the response format of its source."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StandardAnswer:
    """An answer in the hub's own format: status, code of the catalogue, and the JSON document."""

    status: int
    code: str
    document: Mapping[str, Any]

    @property
    def has_failed(self) -> bool:
        return self.status >= 400

    @property
    def state(self) -> str:
        """Return the state of the outcome: `failed` for a failure, and `accepted` if all routes observe, for which no
        vendor has a word.
        """
        state = "failed" if self.has_failed else str(self.document.get("status", ""))
        return "accepted" if state == OBSERVED else state

    @property
    def sentence(self) -> str:
        return str(self.document.get("detail") or self.document.get("title") or self.code)

    def field_errors(self, prefix: str) -> list[tuple[str, str, str]]:
        """Return path (after `prefix`), sentence and code of each field at fault."""
        errors = self.document.get("errors") or []
        return [
            (
                f"{prefix}{_field_name(error)}",
                str(error.get("detail") or self.sentence),
                str(error.get("code", "")),
            )
            for error in errors
        ]


def render_answer(response_format: ResponseFormat, answer: StandardAnswer, limit: int) -> RenderedAnswer:
    """Write an answer in a response format, with a body of at most `limit` bytes. Raises CannotRender."""
    if isinstance(response_format, CustomFormat):
        return _render_custom(response_format, answer, limit)
    return _RENDERERS[response_format.name](response_format, answer, limit)


def _render_kratos(response_format: PrefixedFormat, answer: StandardAnswer, limit: int) -> RenderedAnswer:
    if not answer.has_failed:
        return RenderedAnswer(204, b"")
    field_errors = answer.field_errors(response_format.pointer_prefix) or [
        ("#/", answer.sentence, answer.code)
    ]
    messages = [
        {
            "instance_ptr": field_path,
            "messages": [{"id": _MESSAGE_ID, "text": text, "type": "error", "context": {"code": code}}],
        }
        for field_path, text, code in field_errors
    ]
    return RenderedAnswer(
        answer.status, _encode_as_many_as_fit(lambda items: {"messages": items}, messages, limit)
    )


def _render_okta(response_format: PrefixedFormat, answer: StandardAnswer, limit: int) -> RenderedAnswer:
    if not answer.has_failed:
        return RenderedAnswer(204, b"")
    causes = [
        {
            "errorSummary": text,
            "reason": code.upper().replace("-", "_"),
            "locationType": "body",
            "location": field_path,
            "domain": "end-user",
        }
        for field_path, text, code in answer.field_errors(response_format.pointer_prefix)
    ] or [
        {
            "errorSummary": answer.sentence,
            "reason": answer.code.upper().replace("-", "_"),
            "domain": "end-user",
        }
    ]
    deny = [{"type": "com.okta.action.update", "value": {"registration": "DENY"}}]
    return RenderedAnswer(
        200,
        _encode_as_many_as_fit(
            lambda items: {
                "commands": deny,
                "error": {"errorSummary": answer.sentence, "errorCauses": items},
            },
            causes,
            limit,
        ),
    )


def _render_zitadel(_: ResponseFormat, answer: StandardAnswer, limit: int) -> RenderedAnswer:
    # A body of a success would be taken for a changed request.
    if not answer.has_failed:
        return RenderedAnswer(200, b"")
    status = answer.status if answer.status < 500 else 424
    document = {"forwardedStatusCode": status, "forwardedErrorMessage": answer.sentence}
    return RenderedAnswer(200, _encode_within(document, limit))


def _render_scim(_: ResponseFormat, answer: StandardAnswer, limit: int) -> RenderedAnswer:
    if not answer.has_failed:
        return RenderedAnswer(202 if answer.state == "accepted" else 204, b"")
    document = {"schemas": [_SCIM_ERROR], "status": str(answer.status), "detail": answer.sentence}
    kind = _scim_type(answer)
    return RenderedAnswer(
        answer.status, _encode_within(document | ({"scimType": kind} if kind else {}), limit)
    )


def _scim_type(answer: StandardAnswer) -> str:
    """Return the `scimType` of the answer (RFC 7644, table 9); "" if none fits."""
    if any(code == "duplicate" for _, _, code in answer.field_errors("")):
        return "uniqueness"
    if answer.status == 400:
        return "invalidValue" if answer.document.get("errors") else "invalidSyntax"
    return ""


def _render_empty(_: ResponseFormat, answer: StandardAnswer, __: int) -> RenderedAnswer:
    return RenderedAnswer(answer.status, b"")


_RENDERERS: Mapping[str, Callable[[Any, StandardAnswer, int], RenderedAnswer]] = {
    "kratos": _render_kratos,
    "okta-inline": _render_okta,
    "zitadel": _render_zitadel,
    "scim": _render_scim,
    "empty": _render_empty,
}


def _render_custom(response_format: CustomFormat, answer: StandardAnswer, limit: int) -> RenderedAnswer:
    custom = next(
        (
            custom
            for custom in response_format.answers
            if custom.fits(answer.state, answer.code) and not _reports_unstored_as_success(custom, answer)
        ),
        None,
    )
    if custom is None:
        return RenderedAnswer(answer.status, _encode_within(answer.document, limit))
    status = custom.status or answer.status
    if custom.body is None or status in _WITHOUT_BODY:
        return RenderedAnswer(status, b"")
    return RenderedAnswer(status, _evaluate_body(custom, response_format, answer, limit))


def _reports_unstored_as_success(custom: CustomAnswer, answer: StandardAnswer) -> bool:
    """True if the answer would report success for a request that is not stored, without naming its code."""
    is_success = custom.status is not None and custom.status < 300
    return is_success and answer.code in NOT_STORED_CODES and answer.code not in custom.codes


def _evaluate_body(
    custom: CustomAnswer, response_format: CustomFormat, answer: StandardAnswer, limit: int
) -> bytes:
    assert custom.body is not None, "checked by the caller"
    try:
        value = custom.body.evaluate(answer.document)
    except OverBudget:
        raise CannotRender("the expression costs too much") from None
    except JMESPathError:
        raise CannotRender("the expression does not fit the answer") from None
    if response_format.media_type.startswith("text/plain"):
        if not isinstance(value, str):
            raise CannotRender("the expression gives no text")
        body = value.encode()
    else:
        body = _encode(value)
    if len(body) > limit:
        raise CannotRender("the body is too large")
    return body


def _field_name(error: Mapping[str, Any]) -> str:
    """Return the name of the field at fault: its own, or that at the end of its pointer."""
    if error.get("field"):
        return str(error["field"])
    name = str(error.get("pointer", "")).rpartition("/")[2]
    return name.replace("~1", "/").replace("~0", "~")


def _encode_as_many_as_fit(
    build: Callable[[list[Any]], dict[str, Any]], items: list[Any], limit: int
) -> bytes:
    """Encode the document that `build` makes of as many items, from the first on, as fit into `limit` bytes."""
    body = _encode(build(items))
    while len(body) > limit and len(items) > 1:
        items = items[:-1]
        body = _encode(build(items))
    if len(body) > limit:
        raise CannotRender("the body is too large")
    return body


def _encode_within(document: Mapping[str, Any], limit: int) -> bytes:
    body = _encode(document)
    if len(body) > limit:
        raise CannotRender("the body is too large")
    return body


def _encode(document: Any) -> bytes:
    try:
        return _ENCODER.encode(document).encode()
    # An expression can give what JSON has not, such as an expression reference.
    except (TypeError, ValueError):
        raise CannotRender("the result is not JSON") from None
