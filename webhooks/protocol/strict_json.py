"""Parse JSON (RFC 8259) strictly, so that every later reader understands a stored document the same way.

Python's parser accepts NaN, numbers that overflow to infinity, lone surrogates and repeated names, and deep nesting
reaches its recursion limit. A database or another reader would refuse such a document later.
"""

import json
import math
import re
from typing import Any, Never

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_DEPTH = 32
MAX_DIGITS = 1_000

_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)
# In a valid document a backslash occurs only in a string, where each escape begins after the one before it.
_ESCAPES = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F])|.)")


class MalformedBody(Exception):
    """A body that is not valid. It carries a code of the catalogue and a position, never a part of the body.

    `pointer` is the JSON pointer (RFC 6901) of the field, "" for the whole body; `offset` counts bytes of the body and
    is for the log.
    """

    def __init__(self, code: str, pointer: str = "", offset: int | None = None) -> None:
        super().__init__(code, pointer, offset)
        self.code = code
        self.pointer = pointer
        self.offset = offset

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return f"{self.code}{place}"


class _ObjectBuilder:
    """Builds objects and remembers the last one that has a name twice, with the name."""

    ambiguous: tuple[dict[str, Any], str] | None = None

    def build_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) != len(pairs):
            self.ambiguous = (built, _first_repeated(pairs))
        return built


def parse_json(body: bytes) -> Any:
    """Return the document in `body`. Raises MalformedBody with one of the codes byte-order-mark, wrong-encoding,
    too-deep, not-json, number-too-large, bad-text and duplicate-member.

    A repeated name is refused at every depth: parsers differ in which of the values counts, so the document has two
    readings. The pointer is that of the field of the outermost object. The checks have a fixed order, so one body
    always gets the same code.
    """
    text = _decode_utf8(body)
    _refuse_deep_nesting(text)
    objects = _ObjectBuilder()
    document = _load_json(text, objects)
    _refuse_lone_surrogates(text)
    if objects.ambiguous is not None:
        raise MalformedBody("duplicate-member", pointer=_pointer_of_ambiguity(document, *objects.ambiguous))
    return document


def field_pointer(name: str) -> str:
    """Return the JSON pointer of a field of the outermost object (RFC 6901, section 3)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _decode_utf8(body: bytes) -> str:
    # A byte order mark is valid UTF-8 but has a code of its own, so it is looked for first.
    if body.startswith(BYTE_ORDER_MARK):
        raise MalformedBody("byte-order-mark", offset=0)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody("wrong-encoding", offset=error.start) from None


def _refuse_deep_nesting(text: str) -> None:
    """Raise MalformedBody for nesting deeper than `MAX_DEPTH`, before the recursive parser runs."""
    depth = 0
    for token in _STRINGS_AND_BRACKETS.finditer(text):
        if token[1]:
            depth += 1
            if depth > MAX_DEPTH:
                raise MalformedBody("too-deep", offset=_bytes_before(text, token.start()))
        elif token[2]:
            depth -= 1


def _load_json(text: str, objects: _ObjectBuilder) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=objects.build_object,
            parse_int=_parse_integer,
            parse_float=_parse_fraction,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise MalformedBody("not-json", offset=_bytes_before(text, _error_position(text, error))) from None
    # The checks above should exclude these; if not, it is still an error of the body.
    except (RecursionError, ValueError):
        raise MalformedBody("not-json") from None


def _error_position(text: str, error: json.JSONDecodeError) -> int:
    """Return the position of what could not be parsed, the same for every version of Python."""
    # Python 3.13 reports a trailing comma itself, older versions what follows it.
    if not error.msg.startswith("Illegal trailing comma"):
        return error.pos
    return len(text) - len(text[error.pos + 1 :].lstrip(" \t\n\r"))


def _parse_integer(digits: str) -> int:
    _refuse_many_digits(digits)
    return int(digits)


def _parse_fraction(digits: str) -> float:
    _refuse_many_digits(digits)
    number = float(digits)
    if math.isinf(number):
        raise MalformedBody("number-too-large")
    return number


def _refuse_many_digits(digits: str) -> None:
    if len(digits) > MAX_DIGITS and sum(map(str.isdigit, digits)) > MAX_DIGITS:
        raise MalformedBody("number-too-large")


def _refuse_constant(_name: str) -> Never:
    raise MalformedBody("not-json")


def _refuse_lone_surrogates(text: str) -> None:
    for escape in _ESCAPES.finditer(text):
        if escape[1]:
            raise MalformedBody("bad-text", offset=_bytes_before(text, escape.start()))


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for name, _value in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("no name is repeated")


def _pointer_of_ambiguity(document: Any, ambiguous: dict[str, Any], repeated: str) -> str:
    """Return the pointer of the field of the outermost object that is or contains the repeated name."""
    if document is ambiguous:
        return field_pointer(repeated)
    # An outer object is built after the ones inside it. So no object around this one repeats a name and has lost it.
    fields = document.items() if isinstance(document, dict) else ()
    return next((field_pointer(name) for name, value in fields if _contains(value, ambiguous)), "")


def _contains(value: Any, searched: dict[str, Any]) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is searched or any(_contains(item, searched) for item in inner)


def _bytes_before(text: str, characters: int) -> int:
    return len(text[:characters].encode("utf-8"))
