"""Contents of payloads, for people who may see them: always text, never markup, at most 64 KB."""

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from console.payloads.masking import mask_text, mask_url
from sync.models import Call, Kept, Pruning
from webhooks.encryption.at_rest import CannotOpen
from webhooks.models import Event, Payload, is_erased

MAX_SHOWN_BYTES = 65_536
_MAX_VALUE_LENGTH = 2_000


@dataclass(frozen=True, slots=True)
class PayloadContent:
    """The text of a payload, or in `problem` why there is none. `size` is the whole, in bytes."""

    text: str = ""
    size: int = 0
    is_cut: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One mapped field of a change, as text."""

    name: str
    before: str
    sent: str


@dataclass(frozen=True, slots=True)
class ChangeTable:
    """Before and after: the fields that were sent, and quietly those that had their value already."""

    action: str
    fields: tuple[FieldRow, ...]
    unchanged: tuple[tuple[str, str], ...]


def raw_content(payload: Payload | None, absence_text: str, *, is_masked: bool = False) -> PayloadContent:
    """The bytes as they were, as text; what is no UTF-8 shows as replacement characters. `missing`: why it is not
    there, where it is not. `covered`: without the values in it.
    """
    opened = _decrypt_payload(payload, absence_text)
    if isinstance(opened, PayloadContent):
        return opened
    text = opened.decode("utf-8", "replace")
    return _truncate_content(mask_text(text) if is_masked else text, len(opened))


def request_document(call: Call) -> dict[str, Any]:
    """The request as it is stored; empty where it is not kept. A read's is kept with its response."""
    opened = _decrypt_payload(call.request if call.request_id is not None else call.response, "")
    document = None if isinstance(opened, PayloadContent) else _parse_json(opened.decode("utf-8", "replace"))
    found = document if isinstance(document, dict) else {}
    found = found if call.request_id is not None else found.get("request", {})
    return found if isinstance(found, dict) else {}


def request_content(call: Call, absence_text: str, *, is_masked: bool = False) -> PayloadContent:
    """What was sent. A read's request is kept with its response, a write's by itself."""
    path = call.path if is_masked else None
    if call.request_id is not None:
        return _exchange_content(call.request, absence_text, lambda document: document, is_masked, path)
    return _exchange_content(
        call.response, absence_text, lambda document: document.get("request", {}), is_masked, path
    )


def response_content(call: Call, absence_text: str, *, is_masked: bool = False) -> PayloadContent:
    """What was answered."""
    return _exchange_content(call.response, absence_text, lambda document: document, is_masked)


def _exchange_content(
    payload: Payload | None,
    absence_text: str,
    select_part: Callable[[dict[str, Any]], Any],
    is_masked: bool,
    path: str | None = None,
) -> PayloadContent:
    """A request or an answer of a call: address, headers, then the body, laid out where it is JSON."""
    opened = _decrypt_payload(payload, absence_text)
    if isinstance(opened, PayloadContent):
        return opened
    document = _parse_json(opened.decode("utf-8", "replace"))
    document = select_part(document) if isinstance(document, dict) else document
    laid_out = mask_text if is_masked else _indent_json
    if not isinstance(document, dict):
        return _truncate_content(laid_out(opened.decode("utf-8", "replace")), len(opened))
    headers = document.get("headers") or {}
    url = str(document.get("url") or "")
    lines = [url if path is None else mask_url(url, path)] if url else []
    lines += [f"{name}: {value}" for name, value in headers.items()]
    body = document.get("body")
    return _truncate_content("\n".join([*lines, "", laid_out(str(body))] if body else lines), len(opened))


def change_table(payload: Payload | None) -> ChangeTable | None:
    """The change that an attempt found; None where there is none, or it cannot be opened."""
    document = json_document(payload)
    if not document:
        return None
    rows = (
        FieldRow(str(each["name"]), format_value(each["before"]), format_value(each["after"]))
        for each in document["fields"]
    )
    same = ((str(name), format_value(value)) for name, value in document["same"].items())
    return ChangeTable(str(document["action"]), tuple(rows), tuple(same))


def json_document(payload: Payload | None) -> Mapping[str, Any]:
    """A JSON object of our own making; empty where there is none, or it cannot be opened."""
    opened = _decrypt_payload(payload, "")
    document = None if isinstance(opened, PayloadContent) else _parse_json(opened.decode())
    return document if isinstance(document, dict) else {}


def format_value(value: Any) -> str:
    """A field's value for a table: text as it is, a dash for nothing, anything else as JSON.

    At most 2,000 characters.
    """
    text = (
        "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
    return _escape_surrogates(text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}…")


def _decrypt_payload(payload: Payload | None, absence_text: str) -> bytes | PayloadContent:
    if payload is None:
        return PayloadContent(problem=absence_text)
    try:
        return payload.open()
    except CannotOpen:
        return PayloadContent(
            size=payload.size, problem="Sealed with a key that the hub does not have any more."
        )


def _truncate_content(text: str, size: int) -> PayloadContent:
    raw = _escape_surrogates(text).encode()
    return PayloadContent(
        raw[:MAX_SHOWN_BYTES].decode("utf-8", "ignore"), size, is_cut=len(raw) > MAX_SHOWN_BYTES
    )


def _parse_json(text: str) -> Any:
    """None for what is no JSON, or is nested to make readers fail."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _indent_json(text: str) -> str:
    document = _parse_json(text)
    return text if document is None else json.dumps(document, indent=2, ensure_ascii=False)


def _escape_surrogates(text: str) -> str:
    """A lone surrogate, which JSON can spell, has no UTF-8: it is shown as it would be spelled."""
    return text.encode("utf-8", "backslashreplace").decode()


ERASED_TEXT = "Erased, with everything that was kept of the person."
_MAX_RUNS = 2_000


class PayloadAbsence:
    """What is not kept of one event. Asks the database once, and only where something is missing."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def reason_text(self, stored_at: datetime) -> str:
        """Of a payload that was stored at about this moment."""
        if is_erased(self._event.entity_id):
            return ERASED_TEXT
        place = bisect_right([up_to for up_to, _ in self._pruning_runs], stored_at)
        if place == len(self._pruning_runs):
            return "Not kept, or deleted since."
        return f"Deleted by retention on {self._pruning_runs[place][1]:%Y-%m-%d}."

    @cached_property
    def _pruning_runs(self) -> list[tuple[datetime, datetime]]:
        """Up to when, and when, retention deleted payloads of this event's time and later."""
        runs = Pruning.objects.filter(kind=Kept.PAYLOADS, up_to__gt=self._event.received_at).order_by("up_to")
        return list(runs.values_list("up_to", "began_at")[:_MAX_RUNS])
