"""A declaration as somebody typed it: read, and its places found again, so that an error can name the line."""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Never

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync.planning.mapping import FieldPath

LONGEST = 200_000
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([\[\]{},:])|([^\s\[\]{},:"]+))')
_SENTENCES = {
    "Expecting ',' delimiter": gettext_lazy("A comma or a closing bracket is missing before this place."),
    "Expecting ':' delimiter": gettext_lazy("A colon is missing after the name."),
    "Expecting value": gettext_lazy("A value is missing here."),
    "Expecting property name enclosed in double quotes": gettext_lazy(
        "A name in double quotes is expected here. Is there a comma too many before it?"
    ),
    "Illegal trailing comma before end of object": gettext_lazy(
        "There is a comma too many before this place."
    ),
    "Extra data": gettext_lazy("Something stands after the end."),
    "Unterminated string starting at": gettext_lazy("This text has no closing quote."),
    "Invalid control character at": gettext_lazy(
        "A line break or tab stands inside a text: write \\n or \\t."
    ),
}


class Misread(ValueError):
    """The text is no declaration: a sentence for people, and the line, from 1; 0 where there is none."""

    def __init__(self, sentence: str, line: int = 0) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.line = line


def plain_text(posted: str) -> str:
    """A text as it came from a browser, its lines ended as everywhere else."""
    return posted.replace("\r\n", "\n").replace("\r", "\n").strip("\n")


def read(text: str) -> Any:
    """The JSON value of the text. `Misread`, also where a name stands twice or a database could not keep it."""
    if len(text) > LONGEST:
        raise Misread(_("This is longer than %(most)s characters.") % {"most": f"{LONGEST:,}"})
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        known = next((say for begin, say in _SENTENCES.items() if error.msg.startswith(begin)), error.msg)
        raise Misread(str(known), error.lineno) from error
    except RecursionError as error:
        raise Misread(_("This is nested too deeply.")) from error
    except Misread:
        raise
    except ValueError as error:
        raise Misread(_("A number is too long.")) from error
    _Scan(text).run()
    return value


def line_of(text: str, place: FieldPath) -> int:
    """The line of this place in a text that was read, or of the nearest one around it."""
    scan = _Scan(text)
    scan.run()
    while place and place not in scan.places:
        place = place[:-1]
    return text.count("\n", 0, scan.places.get(place, 0)) + 1


def _refuse_constant(name: str) -> Never:
    raise Misread(_("%(name)s is no JSON.") % {"name": name})


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise Misread(_("The number %(digits)s is too large.") % {"digits": digits[:40]})
    return number


@dataclass
class _Scan:
    """One walk over the tokens of a valid JSON text: where each of its places begins."""

    text: str
    places: dict[FieldPath, int] = field(default_factory=dict)
    _path: list[str | int] = field(default_factory=list)
    _expects_name: list[bool | None] = field(default_factory=list)  # None: a list is open

    def run(self) -> None:
        for token in _TOKEN.finditer(self.text):
            if token[1]:
                self._string(token[1], token.start(1))
            elif token[2]:
                self._mark(token[2], token.start(2))
            else:
                self._value(token.start(3))

    def _string(self, quoted: str, offset: int) -> None:
        name = json.loads(quoted)
        if "\x00" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise Misread(_("A text holds a character that cannot be kept."), self._line(offset))
        if self._expects_name and self._expects_name[-1]:
            self._path[-1] = name
            self._expects_name[-1] = False
            if tuple(self._path) in self.places:
                sentence = _("“%(name)s” stands here twice: only one of them would count.")
                raise Misread(sentence % {"name": name}, self._line(offset))
            self.places[tuple(self._path)] = offset
        else:
            self._value(offset)

    def _mark(self, mark: str, offset: int) -> None:
        if mark in "{[":
            self._value(offset)
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

    def _value(self, offset: int) -> None:
        if self._expects_name and self._expects_name[-1] is None:
            self.places[tuple(self._path)] = offset

    def _line(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1
