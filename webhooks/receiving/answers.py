"""Step 7 of a webhook: build the HTTP answer from the outcome.

Success is `application/json`, everything else `application/problem+json` (RFC 9457). An answer never repeats
anything of the request. It contains a remote system's own sentence only if its connection relays messages and the
source is signed.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from config_schema.codes.codes import CATALOGUE, HUB_FOUND_CODES, Language, code_texts
from config_schema.codes.messages import quote_response
from config_schema.codes.outcome import OBSERVED, EventOutcome, FieldProblem, TargetResult
from config_schema.codes.sentence_language import is_in_language
from config_schema.errors import SettingsInvalid
from webhooks.responses.rendered_answer import CannotRender, StandardAnswer, render_answer
from webhooks.responses.response_format import CACHED_FORMATS, DEFAULT_FORMAT

if TYPE_CHECKING:
    # The web server imports this module before Django has loaded the models.
    from webhooks.models import Source

logger = logging.getLogger("hub.receive")

MAX_ENTITY_BYTES = 262_144
# The limit of every other document.
MAX_DOCUMENT_BYTES = 8_192
# Of the results of up to 100 events: the rest of the document must fit too. Of more events each has this room.
_MAX_RESULTS_BYTES = MAX_DOCUMENT_BYTES - 1_024
_BYTES_OF_RESULT = _MAX_RESULTS_BYTES // 100
_MAX_ERRORS = 20
# States of events without a failure. An event with nothing to do does not hide that another one changed a record.
_SUCCESSES = ("succeeded", "unchanged", "ignored", "superseded", OBSERVED)
# Of events that are not stored as such and are no failure.
IGNORED_CODES = ("filtered", "type-not-handled")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer to a source, byte for byte.

    If `is_final`, the outcome in it will not change. `media_type` is its content type, if it is not the standard one.
    """

    status: int
    body: bytes
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)
    is_final: bool = False
    media_type: str = ""

    @property
    def content_type(self) -> str:
        if self.media_type:
            return self.media_type
        return "application/problem+json" if self.status >= 400 else "application/json"


def problem_answer(
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
    **extra_fields: Any,
) -> Answer:
    """Return the answer for a failure, with the catalogue's texts. `extra_fields` are added to the problem document."""
    entry, text = CATALOGUE[code], code_texts(code, language, connection=connection)
    status = status or entry.status
    document: dict[str, Any] = {
        "type": entry.type,
        "title": text.title,
        "status": status,
        "detail": detail or text.for_person,
        "code": code,
    }
    document |= {"reference": reference} if reference else {}
    document |= extra_fields | ({"errors": errors} if errors else {})
    return Answer(status, _encode_within_limit(document), code, headers or {}, is_final)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one event of a request: a code if the event cannot be read, else its reference and its outcome,
    None while its deliveries are pending.
    """

    code: str
    reference: str = ""
    outcome: EventOutcome | None = None


def batch_answer(
    results: Sequence[BatchResult],
    language: Language,
    reference: str,
    location: str = "",
    *,
    is_acknowledgement: bool = False,
) -> Answer:
    """Return the answer to a request with several events. The worst failure decides its status. `location`: the path of
    the outcome, for the answer 202. `is_acknowledgement`: the sender does not ask for the outcome.

    Events that cannot be read are listed with their codes, and decide the status only if no event that was stored has
    failed or is still open. They never decide that of an acknowledgement if another event could be read.
    """
    documents = [_batch_result_document(result) for result in results]
    outcomes = [result.outcome for result in results if result.reference]
    failed = [outcome for outcome in outcomes if outcome is not None and outcome.has_failed]
    if failed:
        worst = max(failed, key=lambda outcome: CATALOGUE[outcome.code].status)
        return problem_answer(
            worst.code,
            language,
            reference=reference,
            is_final=all(outcome is not None and outcome.is_final for outcome in outcomes),
            retrying=any(outcome.is_retrying for outcome in failed),
            results=_within_limit(documents),
        )
    is_open = any(outcome is None or outcome.is_open for outcome in outcomes)
    unreadable = next((result.code for result in results if result.code not in ("", *IGNORED_CODES)), "")
    # A sender that does not ask for the outcome would send the request again, or stop sending, and no event would gain.
    decides_status = not is_open and not (is_acknowledgement and outcomes)
    if unreadable and decides_status:
        return problem_answer(
            unreadable, language, reference=reference, is_final=True, results=_within_limit(documents)
        )
    code = "accepted" if is_open else _best_state(outcomes)
    document = {"status": code, "reference": reference, "results": _within_limit(documents)}
    if is_open:
        return Answer(202, _encode_json(document), code, {"Location": location})
    return Answer(200, _encode_json(document), code, is_final=True)


def _within_limit(results: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the results, without the codes of the last events if the document would be too large.

    A client finds the code of an event by its reference.
    """
    max_bytes = max(_MAX_RESULTS_BYTES, _BYTES_OF_RESULT * len(results))
    shortened, excess = list(results), len(_encode_json(results)) - max_bytes
    for index in range(len(shortened) - 1, -1, -1):
        result = shortened[index]
        if excess <= 0:
            break
        if "reference" in result and "code" in result:
            shortened[index] = {name: value for name, value in result.items() if name != "code"}
            excess -= len(_encode_json(result)) - len(_encode_json(shortened[index]))
    return shortened


def _best_state(outcomes: Sequence[EventOutcome | None]) -> str:
    states = {outcome.state for outcome in outcomes if outcome is not None}
    return next((state for state in _SUCCESSES if state in states), "ignored")


def _batch_result_document(result: BatchResult) -> dict[str, Any]:
    if not result.reference:
        return {"status": "ignored" if result.code in IGNORED_CODES else "refused", "code": result.code}
    outcome = result.outcome
    if outcome is None or outcome.is_open:
        return {"status": "accepted", "reference": result.reference}
    document = {"status": outcome.state, "reference": result.reference}
    return document | ({"code": outcome.code} if outcome.code != outcome.state else {})


def ignored_answer(code: str, reference: str) -> Answer:
    """Return the answer to a request without an event that the hub wants: `code` is one of IGNORED_CODES."""
    document = {"status": "ignored", "reference": reference, "code": code}
    return Answer(200, _encode_json(document), code, is_final=True)


def outcome_answer(
    outcome: EventOutcome,
    language: Language,
    *,
    reference: str,
    location_of: Callable[[str], str],
    is_signed: bool,
    fields: tuple[str, ...] | None = None,
    allowed: list[str] | None = None,
) -> Answer:
    """Return the answer for an event's outcome. `location_of` returns the path of the outcome of a reference, for the
    answer 202. `allowed` names the fields of the entity that the source may see; None if the entity was not asked for.
    """
    if outcome.is_open:
        document = _outcome_document("accepted", reference, outcome, is_signed)
        return Answer(202, _encode_json(document), "accepted", {"Location": location_of(reference)})
    if outcome.has_failed:
        return _failure_answer(outcome, language, reference, is_signed)
    document = _outcome_document(outcome.state, reference, outcome, is_signed)
    if allowed is not None and outcome.entity is not None:
        document["entity"] = _visible_fields(outcome.entity, allowed, fields)
        if len(_encode_json(document["entity"])) > MAX_ENTITY_BYTES:
            return problem_answer("entity-too-large", language, reference=reference, is_final=True)
    return Answer(200, _encode_json(document), outcome.code, is_final=True)


def format_answer(source: "Source", answer: Answer) -> Answer:
    """Return an answer in the response format of its source. Without one it is returned as it is, at no cost.

    If it cannot be written in that format within the limits, it stays as it is.
    """
    if not source.response_format:
        return answer
    try:
        response_format = CACHED_FORMATS.read(source.response_format)
        if response_format.name == DEFAULT_FORMAT:
            return answer
        document = json.loads(answer.body)
        limit = max(MAX_DOCUMENT_BYTES, _BYTES_OF_RESULT * len(document.get("results", ())))
        limit += MAX_ENTITY_BYTES if "entity" in document else 0
        rendered = render_answer(response_format, StandardAnswer(answer.status, answer.code, document), limit)
    except (CannotRender, SettingsInvalid) as error:
        logger.warning("%s: the response format of %s failed: %s", answer.code, source.slug, error)
        return answer
    return replace(answer, status=rendered.status, body=rendered.body, media_type=response_format.media_type)


def stored_media_type(source: "Source") -> str:
    """Return the content type of the source's response format, for an answer that is sent again; "" for the standard
    one.
    """
    if not source.response_format:
        return ""
    try:
        response_format = CACHED_FORMATS.read(source.response_format)
    except SettingsInvalid:
        return ""
    return "" if response_format.name == DEFAULT_FORMAT else response_format.media_type


def _outcome_document(status: str, reference: str, outcome: EventOutcome, is_signed: bool) -> dict[str, Any]:
    results = [_result_document(result, is_signed) for result in outcome.results]
    return {"status": status, "reference": reference} | ({"results": results} if results else {})


def _result_document(result: TargetResult, is_signed: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"connection": result.connection, "status": result.state}
    if result.action:
        document["action"] = result.action
    # Anyone can send to a source that is not signed, so its answers name no record of the target.
    if is_signed and result.record_id:
        document["id"] = result.record_id
    if result.code != result.state:
        document["code"] = result.code
    return document


def _failure_answer(outcome: EventOutcome, language: Language, reference: str, is_signed: bool) -> Answer:
    failed = next((result for result in outcome.results if result.code == outcome.code), None)
    errors = (
        [_field_error(problem, failed, language) for problem in failed.errors[:_MAX_ERRORS]]
        if failed and is_signed
        else []
    )
    return problem_answer(
        outcome.code,
        language,
        reference=reference,
        connection=failed.connection_name if failed else "",
        detail=_relayed_sentence(failed, language) if failed and is_signed else None,
        errors=errors,
        is_final=outcome.is_final,
        retrying=outcome.is_retrying,
        results=[_result_document(result, is_signed) for result in outcome.results],
    )


def _relayed_sentence(result: TargetResult, language: Language) -> str | None:
    """Return the sentence that the settings have for this failure; without one the system's own, in another language
    than the answer's as a quotation after ours.
    """
    if result.says:
        return result.says.get(language)
    sentence = result.sentence
    if not sentence or is_in_language(sentence, language, result.language):
        return sentence
    lead = code_texts(result.code, language, connection=result.connection_name).for_person
    return quote_response(language, lead, result.connection_name, sentence)


def _field_error(problem: FieldProblem, result: TargetResult, language: Language) -> dict[str, str]:
    """Return an entry of `errors`: the record's field as a JSON pointer, and the system's sentence if it is relayed, as
    a quotation if it is in another language. What the hub itself found is said in English, so only there.
    """
    pointer = "/data/" + problem.field.replace("~", "~0").replace("/", "~1")
    error = {"pointer": pointer, "field": problem.field, "code": problem.code}
    detail = problem.detail
    if detail and not is_in_language(detail, language, result.language):
        detail = "" if result.code in HUB_FOUND_CODES else f"“{detail}”"
    return error | ({"detail": detail} if detail else {})


def _visible_fields(
    entity: Mapping[str, Any], allowed: list[str], fields: tuple[str, ...] | None
) -> dict[str, Any]:
    """Return the entity with only the fields that the source may see and, if it named some, asked for."""
    return {
        name: value
        for name, value in entity.items()
        if ("*" in allowed or name in allowed) and (fields is None or name in fields)
    }


def _encode_within_limit(document: dict[str, Any]) -> bytes:
    """Encode a problem document. Drops errors from the end until it is at most 8,192 bytes long."""
    body, errors = _encode_json(document), document.get("errors")
    while len(body) > MAX_DOCUMENT_BYTES and errors:
        errors = errors[:-1]
        body = _encode_json({**document, "errors": errors})
    return body


def _encode_json(document: Any) -> bytes:
    return _ENCODER.encode(document).encode()
