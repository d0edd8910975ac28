"""Hop 7: the outcome as status, body and words.

Success is `application/json`, everything else `application/problem+json` (RFC 9457). Nothing from the request is
ever repeated; a remote system's sentence only where its connection relays it and the source is signed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webhooks.catalogue.codes import CATALOGUE, Language, words
from webhooks.catalogue.outcome import EventOutcome, FieldProblem, Result

LARGEST_ENTITY = 262_144
LARGEST = 8_192  # of anything else
_MOST_ERRORS = 20
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, byte for byte. `is_final`: the outcome that it tells will not change."""

    status: int
    body: bytes
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)
    is_final: bool = False

    @property
    def content_type(self) -> str:
        return "application/problem+json" if self.status >= 400 else "application/json"


def problem(
    code: str,
    language: Language,
    *,
    status: int | None = None,
    reference: str | None = None,
    connection: str = "",
    detail: str | None = None,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
    is_final: bool = False,
    **members: Any,
) -> Answer:
    """A failure in the words of the catalogue."""
    entry, text = CATALOGUE[code], words(code, language, connection=connection)
    status = status or entry.status
    document: dict[str, Any] = {
        "type": entry.type,
        "title": text.title,
        "status": status,
        "detail": detail or text.detail,
        "code": code,
    }
    document |= {"reference": reference} if reference else {}
    document |= members | ({"errors": errors} if errors else {})
    return Answer(status, _fitting(document), code, headers or {}, is_final)


def outcome_answer(
    outcome: EventOutcome,
    language: Language,
    *,
    reference: str,
    location: str,
    is_signed: bool,
    fields: tuple[str, ...] | None = None,
    allowed: list[str] | None = None,
) -> Answer:
    """What became of an event, for its source. `allowed` is given when the entity was asked for."""
    if outcome.is_open:
        document = _document("accepted", reference, outcome, is_signed)
        return Answer(202, _bytes(document), "accepted", {"Location": location})
    if outcome.has_failed:
        return _failure(outcome, language, reference, is_signed)
    document = _document(outcome.state, reference, outcome, is_signed)
    if allowed is not None and outcome.entity is not None:
        document["entity"] = _cut(outcome.entity, allowed, fields)
        if len(_bytes(document["entity"])) > LARGEST_ENTITY:
            return problem("entity-too-large", language, reference=reference, is_final=True)
    return Answer(200, _bytes(document), outcome.code, is_final=True)


def _document(status: str, reference: str, outcome: EventOutcome, is_signed: bool) -> dict[str, Any]:
    results = [_result(each, is_signed) for each in outcome.results]
    return {"status": status, "reference": reference} | ({"results": results} if results else {})


def _result(result: Result, is_signed: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"connection": result.connection, "status": result.state}
    if result.action:
        shown["action"] = result.action
    if is_signed and result.record_id:
        shown["id"] = result.record_id
    if result.code != result.state:
        shown["code"] = result.code
    return shown


def _failure(outcome: EventOutcome, language: Language, reference: str, is_signed: bool) -> Answer:
    failed = next((each for each in outcome.results if each.code == outcome.code), None)
    errors = [_error(each) for each in failed.errors[:_MOST_ERRORS]] if failed and is_signed else []
    return problem(
        outcome.code,
        language,
        reference=reference,
        connection=failed.connection_name if failed else "",
        detail=failed.sentence if failed and is_signed else None,
        errors=errors,
        is_final=outcome.is_final,
        retrying=outcome.is_retrying,
        results=[_result(each, is_signed) for each in outcome.results],
    )


def _error(found: FieldProblem) -> dict[str, str]:
    """Where the commercial system's field stands in the record; its sentence only where it is relayed."""
    pointer = "/data/" + found.field.replace("~", "~0").replace("/", "~1")
    error = {"pointer": pointer, "field": found.field, "code": found.code}
    return error | ({"detail": found.detail} if found.detail else {})


def _cut(entity: Mapping[str, Any], allowed: list[str], fields: tuple[str, ...] | None) -> dict[str, Any]:
    """Only members that the source may see, and of those only the ones that it asked for."""
    return {
        name: value
        for name, value in entity.items()
        if ("*" in allowed or name in allowed) and (fields is None or name in fields)
    }


def _fitting(document: dict[str, Any]) -> bytes:
    """With so many of its errors, from the first on, as there is room for."""
    body, errors = _bytes(document), document.get("errors")
    while len(body) > LARGEST and errors:
        errors = errors[:-1]
        body = _bytes({**document, "errors": errors})
    return body


def _bytes(document: Any) -> bytes:
    return _ENCODER.encode(document).encode()
