"""The messages of a failed attempt, from a system or from the hub itself, for people who may see payload contents."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from config_schema.codes.codes import HUB_FOUND_CODES
from console.payloads.content import change_values, format_value, stored_finding
from console.payloads.masking import mask_message
from sync.attempts.absence import OWNER_HELD_CODE
from sync.models import Attempt, Finding
from sync.planning.mapping import REQUIRED_BUT_EMPTY, REQUIRED_BUT_MISSING

_REQUIRED_FIELDS: Mapping[str, str] = {
    REQUIRED_BUT_MISSING: gettext_noop("Required field “%(field)s” is empty: `%(path)s` matched nothing"),
    REQUIRED_BUT_EMPTY: gettext_noop(
        "Required field “%(field)s” is empty: `%(path)s` matched an empty value"
    ),
}


@dataclass(frozen=True, slots=True)
class AnswerMessage:
    """One message. `notes`: field and code of each error with this text. `names`: the words of the text that are names
    of settings, and not values. `is_quoted`: it is from a system, and shown in quotation marks.
    """

    text: str
    notes: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    is_quoted: bool = True

    def __str__(self) -> str:
        """Return `“It is taken.” (field email, code duplicate)`."""
        notes = "; ".join(self.notes)
        return f"{self.sentence} ({notes})" if self.text and notes else self.sentence

    @property
    def sentence(self) -> str:
        """Return the message without its notes; the notes if it has no text."""
        if not self.text:
            return "; ".join(self.notes)
        return f"“{self.text}”" if self.is_quoted else self.text


def is_found_by_hub(code: str) -> bool:
    """Return True if the messages of a failure with this code are the hub's own."""
    return code in HUB_FOUND_CODES or code == OWNER_HELD_CODE


def describe_errors(code: str, sentence: str, errors: Iterable[Sequence[str]]) -> list[AnswerMessage]:
    """Return the messages of an answer, each once. `errors`: field, code and detail of each error."""
    if is_found_by_hub(code):
        found = (_describe_finding(*error) for error in errors)
        messages = [AnswerMessage(sentence, is_quoted=False), *found]
        return list(dict.fromkeys(message for message in messages if message.text))
    notes: dict[str, list[str]] = {sentence: []} if sentence else {}
    for field, error_code, detail in errors:
        notes.setdefault(detail or sentence, []).append(_note(field, error_code))
    messages = [AnswerMessage(text, tuple(filter(None, dict.fromkeys(said)))) for text, said in notes.items()]
    return [message for message in messages if message.text or message.notes]


def _note(field: str, code: str) -> str:
    if field and code:
        return _("field %(field)s, code %(code)s") % {"field": field, "code": code}
    if field:
        return _("field %(field)s") % {"field": field}
    return _("code %(code)s") % {"code": code} if code else ""


def _describe_finding(field: str, code: str, detail: str) -> AnswerMessage:
    for template, text in _REQUIRED_FIELDS.items():
        if found := _pattern_of(template).fullmatch(detail):
            values = {"field": field, **found.groupdict()}
            return AnswerMessage(_(text) % values, names=frozenset(values.values()), is_quoted=False)
    return AnswerMessage(": ".join(part for part in (field, detail or code) if part), is_quoted=False)


@cache
def _pattern_of(template: str) -> re.Pattern[str]:
    """Return the pattern of the sentences that a template makes."""
    parts = re.split(r"%\((\w+)\)s", template)
    patterns = [f"(?P<{part}>.+)" if number % 2 else re.escape(part) for number, part in enumerate(parts)]
    return re.compile("".join(patterns))


def answer_messages(attempt: Attempt, *, is_masked: bool) -> tuple[AnswerMessage, ...]:
    """Return the messages of an attempt. `is_masked` hides the values of its change in them."""
    document = stored_finding(attempt, Finding.ANSWER)
    sentence = format_value(document["sentence"]) if document.get("sentence") else ""
    messages = describe_errors(attempt.code, sentence, map(_error_parts, document.get("errors", [])))
    contents = change_values(attempt) if is_masked else []
    return tuple(mask_values(message, contents) if is_masked else message for message in messages)


def _error_parts(error: Mapping[str, Any]) -> list[str]:
    return [format_value(error.get(name) or "") for name in ("field", "code", "detail")]


def mask_values(message: AnswerMessage, values: Sequence[Any]) -> AnswerMessage:
    """Return the message without these values."""
    notes = tuple(mask_message(note, values) for note in message.notes)
    return replace(message, text=mask_message(message.text, values), notes=notes)
