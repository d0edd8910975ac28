"""Contents of payloads as plain text, at most 64 KB, for people who may see them."""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.payloads.masking import mask_header, mask_text, mask_url, mask_value
from console.ui.scope_texts import scope_note
from database.encryption.at_rest import CannotDecrypt
from sync.models import Attempt, Call, Finding, PruningRun, RetentionCategory
from sync.planning.change import Change
from webhooks.models import Event, Payload, is_erased

MAX_SHOWN_BYTES = 65_536
_MAX_VALUE_LENGTH = 2_000


@dataclass(frozen=True, slots=True)
class PayloadContent:
    """The text of a payload or of a call's part of one, or in `problem` the reason why there is none.

    `size`: bytes of the whole payload or part.
    """

    text: str = ""
    size: int = 0
    is_cut: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One changed field with its values as text."""

    name: str
    before: str
    sent: str


@dataclass(frozen=True, slots=True)
class ChangeTable:
    """The fields that an attempt sent, before and after, and the fields that already had their value (`unchanged`).

    The fields in `left_out` differ but were not sent, because the target does not keep them; those in `withheld`,
    because the mapping has found no value for them in any entity. If `is_masked`, the values are hidden. `note`: what
    the change says of the scope of the route.
    """

    action: str
    fields: tuple[FieldRow, ...]
    unchanged: tuple[tuple[str, str], ...]
    left_out: tuple[FieldRow, ...] = ()
    is_masked: bool = False
    withheld: tuple[str, ...] = ()
    note: str = ""


def raw_content(
    payload: Payload | None,
    absence_text: str,
    *,
    is_masked: bool = False,
    shown: frozenset[str] = frozenset(),
) -> PayloadContent:
    """Return the payload decoded as UTF-8, with replacement characters for invalid bytes.

    `absence_text` becomes the problem if there is no payload. `is_masked` hides the values, except those of the
    top-level fields `shown`.
    """
    opened = _decrypt_payload(payload, absence_text)
    if isinstance(opened, PayloadContent):
        return opened
    # The bytes are whatever the sender chose; they need not be UTF-8.
    text = opened.decode("utf-8", "replace")
    return _truncate_content(mask_text(text, shown) if is_masked else text, len(opened))


def request_document(call: Call) -> Mapping[str, Any]:
    """Return the stored request of a call, or an empty dict. A read's request is stored together with its response."""
    if call.request_id is not None:
        return json_document(call.request)
    stored = _stored_response(call, "")
    request = {} if isinstance(stored, PayloadContent) else stored.get("request", {})
    return request if isinstance(request, dict) else {}


def request_content(call: Call, absence_text: str, *, is_masked: bool = False) -> PayloadContent:
    """Return the text of a call's request. A read's request is stored together with its response."""
    path = call.path if is_masked else None
    if call.request_id is None:
        stored = _stored_response(call, absence_text)
        return _response_part_content(stored, lambda document: document.get("request", {}), is_masked, path)
    opened = _decrypt_payload(call.request, absence_text)
    if isinstance(opened, PayloadContent):
        return opened
    text = opened.decode("utf-8", "replace")
    document = _parse_json(text)
    if isinstance(document, dict):
        return _truncate_content(_exchange_text(document, is_masked, path), len(opened))
    # The hub records requests as objects; anything else is shown as one text.
    return _truncate_content(mask_text(text) if is_masked else _indent_json(text), len(opened))


def response_content(call: Call, absence_text: str, *, is_masked: bool = False) -> PayloadContent:
    return _response_part_content(_stored_response(call, absence_text), lambda document: document, is_masked)


def _stored_response(call: Call, absence_text: str) -> Mapping[str, Any] | PayloadContent:
    """Return the stored response of a call, or the reason why there is none."""
    if call.response is None:
        return PayloadContent(problem=absence_text)
    try:
        stored = call.stored_response()
    except CannotDecrypt:
        return _undecryptable_content(call.response)
    return PayloadContent(problem=_("Not stored, or deleted in the meantime.")) if stored is None else stored


def _response_part_content(
    stored: Mapping[str, Any] | PayloadContent,
    select_part: Callable[[Mapping[str, Any]], Any],
    is_masked: bool,
    path: str | None = None,
) -> PayloadContent:
    if isinstance(stored, PayloadContent):
        return stored
    part = select_part(stored)
    text = _exchange_text(part if isinstance(part, dict) else {}, is_masked, path)
    return _truncate_content(text, len(_compact_json(stored)))


def _exchange_text(document: Mapping[str, Any], is_masked: bool, path: str | None = None) -> str:
    """Format a request or a response: address, headers, then the body, indented if it is JSON."""
    headers = document.get("headers") or {}
    url = str(document.get("url") or "")
    lines = [url if path is None else mask_url(url, path)] if url else []
    lines += [
        f"{name}: {mask_header(name, str(value)) if is_masked else value}" for name, value in headers.items()
    ]
    body = document.get("body")
    laid_out = mask_text if is_masked else _indent_json
    return "\n".join([*lines, "", laid_out(str(body))] if body else lines)


def change_table(attempt: Attempt, *, is_masked: bool) -> ChangeTable | None:
    """Return the change that an attempt found, or None if there is none or it cannot be decrypted.

    None too if a person has to choose the record first: nothing is planned until then. `is_masked` hides the values.
    """
    document = stored_finding(attempt, Finding.CHANGE)
    if not document or "candidates" in document:
        return None
    left_out = document.get("left_out", ())
    return build_change_table(
        str(document["action"]),
        ((field["name"], field["before"], field["after"]) for field in document["fields"]),
        document["same"].items(),
        ((field["name"], field["before"], field["after"]) for field in left_out),
        is_masked=is_masked,
        withheld=document.get("withheld", ()),
        note=scope_note(document.get("scope", ""), ends_link=bool(document.get("unlink"))),
    )


def change_values(attempt: Attempt) -> list[Any]:
    """Return every value, before and after, of the change that an attempt found."""
    document = stored_finding(attempt, Finding.CHANGE)
    fields = [*document.get("fields", ()), *document.get("left_out", ())]
    changed = [field[side] for field in fields for side in ("before", "after")]
    return [*changed, *document.get("same", {}).values()]


def planned_change_table(change: Change, *, is_masked: bool) -> ChangeTable:
    """Return the table of a planned change. No field is left out: a replay sends those that the target does not keep,
    too.
    """
    return build_change_table(
        str(change.action),
        ((field.name, field.before, field.after) for field in change.fields),
        change.unchanged_fields,
        is_masked=is_masked,
        withheld=change.withheld_fields,
        note=scope_note(change.scope, ends_link=change.ends_link),
    )


def build_change_table(
    action: str,
    fields: Iterable[tuple[str, Any, Any]],
    unchanged: Iterable[tuple[str, Any]],
    left_out: Iterable[tuple[str, Any, Any]] = (),
    *,
    is_masked: bool,
    withheld: Iterable[str] = (),
    note: str = "",
) -> ChangeTable:
    """Return the table of a change: of fields (name, before, after), and of those that stay (name, value)."""

    def show(value: Any) -> str:
        return format_value(value, is_masked=is_masked)

    return ChangeTable(
        action,
        tuple(FieldRow(str(name), show(before), show(after)) for name, before, after in fields),
        tuple((str(name), show(value)) for name, value in unchanged),
        tuple(FieldRow(str(name), show(before), show(after)) for name, before, after in left_out),
        is_masked,
        tuple(map(str, withheld)),
        note,
    )


def stored_finding(attempt: Attempt, part: Finding) -> Mapping[str, Any]:
    """Return a part of what an attempt found; empty if there is none or it cannot be decrypted."""
    try:
        return attempt.stored_finding(part) or {}
    except CannotDecrypt:
        return {}


def json_document(payload: Payload | None) -> Mapping[str, Any]:
    """Return a JSON object that the hub stored; empty if there is none or it cannot be decrypted."""
    try:
        document = None if payload is None else payload.json_document()
    except CannotDecrypt:
        document = None
    return document if isinstance(document, dict) else {}


def format_value(value: Any, *, is_masked: bool = False) -> str:
    """Format a field's value for a table: text unchanged, None as a dash, anything else as JSON. At most 2,000
    characters. `is_masked` hides it.
    """
    value = mask_value(value) if is_masked else value
    text = (
        "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
    return _escape_surrogates(text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}…")


def _decrypt_payload(payload: Payload | None, absence_text: str) -> bytes | PayloadContent:
    if payload is None:
        return PayloadContent(problem=absence_text)
    try:
        return payload.decrypt()
    except CannotDecrypt:
        return _undecryptable_content(payload)


def _undecryptable_content(payload: Payload) -> PayloadContent:
    return PayloadContent(size=payload.size, problem=_("Encrypted with a key that the hub no longer has."))


def _truncate_content(text: str, size: int) -> PayloadContent:
    # Cut by bytes, not characters: the limit bounds the size of the page.
    raw = _escape_surrogates(text).encode()
    return PayloadContent(
        raw[:MAX_SHOWN_BYTES].decode("utf-8", "ignore"), size, is_cut=len(raw) > MAX_SHOWN_BYTES
    )


def _parse_json(text: str) -> Any:
    """Return the parsed text, or None if it is not JSON or is nested too deeply."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _compact_json(document: Any) -> bytes:
    """Return a document as the hub stores it."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _indent_json(text: str) -> str:
    document = _parse_json(text)
    return text if document is None else json.dumps(document, indent=2, ensure_ascii=False)


def _escape_surrogates(text: str) -> str:
    """Write lone surrogates, which JSON can spell and UTF-8 cannot, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


ERASED_TEXT = gettext_lazy("Erased together with all other data about the person.")
_MAX_RUNS = 2_000


class PayloadAbsence:
    """Reasons for missing payloads of one event. Queries the database once, and only if one is missing."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def reason_text(self, stored_at: datetime) -> str:
        """Return the reason for a missing payload that was stored at about this time."""
        if is_erased(self._event.entity_id):
            return str(ERASED_TEXT)
        # The first run that reached past this time deleted the payload.
        place = bisect_right([up_to for up_to, _ in self._pruning_runs], stored_at)
        if place == len(self._pruning_runs):
            return _("Not stored, or deleted in the meantime.")
        deleted_at = self._pruning_runs[place][1]
        return _("Deleted after its retention period, on %(date)s.") % {"date": f"{deleted_at:%Y-%m-%d}"}

    @cached_property
    def _pruning_runs(self) -> list[tuple[datetime, datetime]]:
        """Load the pruning runs that deleted payloads of this event's time or later, as (deleted up to, begun at)."""
        runs = PruningRun.objects.filter(
            kind=RetentionCategory.PAYLOADS, up_to__gt=self._event.received_at
        ).order_by("up_to")
        return list(runs.values_list("up_to", "began_at")[:_MAX_RUNS])
