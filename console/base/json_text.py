"""Parse a JSON text that a person typed, and find the line of an error in it."""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Never

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.errors import SettingPath

MAX_LENGTH = 200_000
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([\[\]{},:])|([^\s\[\]{},:"]+))')
_SENTENCES = {
    "Expecting ',' delimiter": gettext_lazy("A comma or a closing bracket is missing before this position."),
    "Expecting ':' delimiter": gettext_lazy("A colon is missing after the name."),
    "Expecting value": gettext_lazy("A value is missing here."),
    "Expecting property name enclosed in double quotes": gettext_lazy(
        "A name in double quotes is expected here. Check for an extra comma before it."
    ),
    "Illegal trailing comma before end of object": gettext_lazy(
        "There is an extra comma before this position."
    ),
    "Extra data": gettext_lazy("There is extra text after the end."),
    "Unterminated string starting at": gettext_lazy("This text has no closing quote."),
    "Invalid control character at": gettext_lazy("A text contains a line break or tab: write \\n or \\t."),
}


class JsonTextError(ValueError):
    """An invalid JSON text, or one with an invalid value: a sentence for people, its line from 1, or 0 if no line is
    meant, and the path of the value. As text: `Line 12, entities.USER.path: This must …`.
    """

    def __init__(self, sentence: str, line: int = 0, path: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.line = line
        self.path = path

    def __str__(self) -> str:
        line = _("Line %(line)s") % {"line": f"{self.line:,}"} if self.line else ""
        position = ", ".join(part for part in (line, self.path) if part)
        return f"{position}: {self.sentence}" if position else self.sentence


def normalize_newlines(posted: str) -> str:
    """Convert the line ends of a browser's form to line feeds and strip empty lines at both ends."""
    return posted.replace("\r\n", "\n").replace("\r", "\n").strip("\n")


def parse_json_text(text: str) -> Any:
    """Parse a JSON text. Raises JsonTextError, also for duplicate names and text that no database can store."""
    if len(text) > MAX_LENGTH:
        raise JsonTextError(_("This is longer than %(most)s characters.") % {"most": f"{MAX_LENGTH:,}"})
    try:
        value = json.loads(text, parse_constant=_reject_constant, parse_float=_parse_finite_float)
    except json.JSONDecodeError as error:
        known = next((say for begin, say in _SENTENCES.items() if error.msg.startswith(begin)), error.msg)
        raise JsonTextError(str(known), error.lineno) from error
    except RecursionError as error:
        raise JsonTextError(_("This is nested too deeply.")) from error
    # JsonTextError is a ValueError too, and must not become the sentence below.
    except JsonTextError:
        raise
    # Python does not convert numbers of more than 4,300 digits.
    except ValueError as error:
        raise JsonTextError(_("A number is too long.")) from error
    _TokenScanner(text).scan_tokens()
    return value


def line_number_of(text: str, place: SettingPath) -> int:
    """Return the line of a place in a text that was parsed, or of the nearest place around it."""
    scan = _TokenScanner(text)
    scan.scan_tokens()
    while place and place not in scan.offsets:
        place = place[:-1]
    return text.count("\n", 0, scan.offsets.get(place, 0)) + 1


def _reject_constant(name: str) -> Never:
    raise JsonTextError(_("%(name)s is not JSON.") % {"name": name})


def _parse_finite_float(digits: str) -> float:
    number = float(digits)
    # Python reads 1e999 as infinity, which is not JSON and which no database stores.
    if math.isinf(number):
        raise JsonTextError(_("The number %(digits)s is too large.") % {"digits": digits[:40]})
    return number


@dataclass
class _TokenScanner:
    """Scanner for the offset of each value in a valid JSON text, in one pass over its tokens."""

    text: str
    offsets: dict[SettingPath, int] = field(default_factory=dict)
    _path: list[str | int] = field(default_factory=list)
    # For each open bracket: True if a name follows, False if a value does, None in a list.
    _expects_name: list[bool | None] = field(default_factory=list)

    def scan_tokens(self) -> None:
        for token in _TOKEN.finditer(self.text):
            if token[1]:
                self._scan_string(token[1], token.start(1))
            elif token[2]:
                self._scan_punctuation(token[2], token.start(2))
            else:
                self._record_offset(token.start(3))

    def _scan_string(self, quoted: str, offset: int) -> None:
        name = json.loads(quoted)
        # PostgreSQL stores neither NUL nor lone surrogates.
        if "\x00" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise JsonTextError(
                _("A text contains a character that cannot be stored."), self._line_number(offset)
            )
        if self._expects_name and self._expects_name[-1]:
            self._path[-1] = name
            self._expects_name[-1] = False
            # Python silently keeps the last of two equal names; the person meant both.
            if tuple(self._path) in self.offsets:
                sentence = _("“%(name)s” appears twice here. Remove one.")
                raise JsonTextError(sentence % {"name": name}, self._line_number(offset))
            self.offsets[tuple(self._path)] = offset
        else:
            self._record_offset(offset)

    def _scan_punctuation(self, mark: str, offset: int) -> None:
        if mark in "{[":
            self._record_offset(offset)
            self._path.append("" if mark == "{" else 0)
            self._expects_name.append(True if mark == "{" else None)
        elif mark in "}]":
            self._path.pop()
            self._expects_name.pop()
        elif mark == ",":
            last = self._path[-1]
            if isinstance(last, int):
                self._path[-1] = last + 1
            else:
                self._expects_name[-1] = True

    def _record_offset(self, offset: int) -> None:
        if self._expects_name and self._expects_name[-1] is None:
            self.offsets[tuple(self._path)] = offset

    def _line_number(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1
