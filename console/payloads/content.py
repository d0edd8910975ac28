"""Contents of payloads, for people who may see them: always text, never markup, at most 64 KB."""

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from console.payloads.masking import masked_address, masked_text
from sync.models import Call, Kept, Pruning
from webhooks.encryption.at_rest import CannotOpen
from webhooks.models import Event, Payload, is_erased

SHOWN_BYTES = 65_536
_SHOWN_VALUE = 2_000


@dataclass(frozen=True, slots=True)
class Content:
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
    same: tuple[tuple[str, str], ...]


def as_stored(payload: Payload | None, missing: str, *, covered: bool = False) -> Content:
    """The bytes as they were, as text; what is no UTF-8 shows as replacement characters. `missing`: why it is not
    there, where it is not. `covered`: without the values in it.
    """
    opened = _open(payload, missing)
    if isinstance(opened, Content):
        return opened
    text = opened.decode("utf-8", "replace")
    return _content(masked_text(text) if covered else text, len(opened))


def sent_document(call: Call) -> dict[str, Any]:
    """The request as it is stored; empty where it is not kept. A read's is kept with its response."""
    opened = _open(call.request if call.request_id is not None else call.response, "")
    document = None if isinstance(opened, Content) else _parsed(opened.decode("utf-8", "replace"))
    found = document if isinstance(document, dict) else {}
    found = found if call.request_id is not None else found.get("request", {})
    return found if isinstance(found, dict) else {}


def as_request(call: Call, missing: str, *, covered: bool = False) -> Content:
    """What was sent. A read's request is kept with its response, a write's by itself."""
    path = call.path if covered else None
    if call.request_id is not None:
        return _exchange(call.request, missing, lambda document: document, covered, path)
    return _exchange(call.response, missing, lambda document: document.get("request", {}), covered, path)


def as_response(call: Call, missing: str, *, covered: bool = False) -> Content:
    """What was answered."""
    return _exchange(call.response, missing, lambda document: document, covered)


def _exchange(
    payload: Payload | None,
    missing: str,
    part: Callable[[dict[str, Any]], Any],
    covered: bool,
    path: str | None = None,
) -> Content:
    """A request or an answer of a call: address, headers, then the body, laid out where it is JSON."""
    opened = _open(payload, missing)
    if isinstance(opened, Content):
        return opened
    document = _parsed(opened.decode("utf-8", "replace"))
    document = part(document) if isinstance(document, dict) else document
    laid_out = masked_text if covered else _laid_out
    if not isinstance(document, dict):
        return _content(laid_out(opened.decode("utf-8", "replace")), len(opened))
    headers = document.get("headers") or {}
    url = str(document.get("url") or "")
    lines = [url if path is None else masked_address(url, path)] if url else []
    lines += [f"{name}: {value}" for name, value in headers.items()]
    body = document.get("body")
    return _content("\n".join([*lines, "", laid_out(str(body))] if body else lines), len(opened))


def as_change(payload: Payload | None) -> ChangeTable | None:
    """The change that an attempt found; None where there is none, or it cannot be opened."""
    document = as_document(payload)
    if not document:
        return None
    rows = (
        FieldRow(str(each["name"]), value_text(each["before"]), value_text(each["after"]))
        for each in document["fields"]
    )
    same = ((str(name), value_text(value)) for name, value in document["same"].items())
    return ChangeTable(str(document["action"]), tuple(rows), tuple(same))


def as_document(payload: Payload | None) -> Mapping[str, Any]:
    """A JSON object of our own making; empty where there is none, or it cannot be opened."""
    opened = _open(payload, "")
    document = None if isinstance(opened, Content) else _parsed(opened.decode())
    return document if isinstance(document, dict) else {}


def value_text(value: Any) -> str:
    """A field's value for a table: text as it is, a dash for nothing, anything else as JSON.

    At most 2,000 characters.
    """
    text = (
        "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
    return _encodable(text if len(text) <= _SHOWN_VALUE else f"{text[:_SHOWN_VALUE]}…")


def _open(payload: Payload | None, missing: str) -> bytes | Content:
    if payload is None:
        return Content(problem=missing)
    try:
        return payload.open()
    except CannotOpen:
        return Content(size=payload.size, problem="Sealed with a key that the hub does not have any more.")


def _content(text: str, size: int) -> Content:
    raw = _encodable(text).encode()
    return Content(raw[:SHOWN_BYTES].decode("utf-8", "ignore"), size, is_cut=len(raw) > SHOWN_BYTES)


def _parsed(text: str) -> Any:
    """None for what is no JSON, or is nested to make readers fail."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _laid_out(text: str) -> str:
    document = _parsed(text)
    return text if document is None else json.dumps(document, indent=2, ensure_ascii=False)


def _encodable(text: str) -> str:
    """A lone surrogate, which JSON can spell, has no UTF-8: it is shown as it would be spelled."""
    return text.encode("utf-8", "backslashreplace").decode()


ERASED = "Erased, with everything that was kept of the person."
_MOST_RUNS = 2_000


class Missing:
    """What is not kept of one event. Asks the database once, and only where something is missing."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def sentence(self, moment: datetime) -> str:
        """Of a payload that was stored at about this moment."""
        if is_erased(self._event.entity_id):
            return ERASED
        place = bisect_right([up_to for up_to, _ in self._runs], moment)
        if place == len(self._runs):
            return "Not kept, or deleted since."
        return f"Deleted by retention on {self._runs[place][1]:%Y-%m-%d}."

    @cached_property
    def _runs(self) -> list[tuple[datetime, datetime]]:
        """Up to when, and when, retention deleted payloads of this event's time and later."""
        runs = Pruning.objects.filter(kind=Kept.PAYLOADS, up_to__gt=self._event.received_at).order_by("up_to")
        return list(runs.values_list("up_to", "began_at")[:_MOST_RUNS])
