"""JSON as RFC 8259 has it, and narrower: what every reader downstream understands in the same way.

Python's own parser takes NaN, numbers that become infinite, lone surrogates and repeated names, and can be
driven into its recursion limit. Each of these is a stored document that a database or another reader
refuses later.
"""

import json
import math
import re
from typing import Any, Never

DEEPEST = 32
MOST_DIGITS = 1_000

_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)
# In a valid document a backslash stands only in a string, where each escape begins after the one before it.
_ESCAPES = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F])|.)")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Malformed(Exception):
    """The body is not what it must be. Says `code` of the catalogue and where, never what stood there.

    `pointer` is the JSON pointer (RFC 6901) of the member, "" for the whole body; `offset` counts bytes of
    the body and is for the log.
    """

    def __init__(self, code: str, pointer: str = "", offset: int | None = None) -> None:
        super().__init__(code, pointer, offset)
        self.code = code
        self.pointer = pointer
        self.offset = offset

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return f"{self.code}{place}"


class _Objects:
    """Builds objects, and remembers the repeated name of the newest: the outermost object is built last."""

    repeated: str | None = None

    def build(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        self.repeated = None if len(built) == len(pairs) else _first_repeated(pairs)
        return built


def parse(body: bytes) -> Any:
    """The document, or `Malformed` with one of: byte-order-mark, wrong-encoding, too-deep, not-json,
    number-too-large, bad-text, duplicate-member.

    A name repeated in the outermost object is refused; deeper down, where the hub only carries members
    along, the last one counts, as in most readers. Checked in the order of the contract, so one body always
    gets one code.
    """
    text = _decode(body)
    _refuse_deep_nesting(text)
    objects = _Objects()
    document = _load(text, objects)
    _refuse_lone_surrogates(text)
    if isinstance(document, dict) and objects.repeated is not None:
        raise Malformed("duplicate-member", pointer=pointer_to(objects.repeated))
    return document


def pointer_to(name: str) -> str:
    """The JSON pointer of a member of the outermost object (RFC 6901, section 3)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _decode(body: bytes) -> str:
    # The contract reads "strict UTF-8, no BOM": a mark is told by its own code, so it is looked for first.
    if body.startswith(_BYTE_ORDER_MARK):
        raise Malformed("byte-order-mark", offset=0)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("wrong-encoding", offset=error.start) from None


def _refuse_deep_nesting(text: str) -> None:
    """Counts brackets outside strings before the recursive parser sees them."""
    depth = 0
    for token in _STRINGS_AND_BRACKETS.finditer(text):
        if token[1]:
            depth += 1
            if depth > DEEPEST:
                raise Malformed("too-deep", offset=_bytes_before(text, token.start()))
        elif token[2]:
            depth -= 1


def _load(text: str, objects: _Objects) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=objects.build,
            parse_int=_whole_number,
            parse_float=_fraction,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise Malformed("not-json", offset=_bytes_before(text, _place(text, error))) from None
    except (RecursionError, ValueError):  # out of reach behind the checks above, and no reason to fall over
        raise Malformed("not-json") from None


def _place(text: str, error: json.JSONDecodeError) -> int:
    """Of what could not be read. Python 3.13 names a trailing comma itself, older ones what stands behind it."""
    if not error.msg.startswith("Illegal trailing comma"):
        return error.pos
    return len(text) - len(text[error.pos + 1 :].lstrip(" \t\n\r"))


def _whole_number(digits: str) -> int:
    _refuse_many_digits(digits)
    return int(digits)


def _fraction(digits: str) -> float:
    _refuse_many_digits(digits)
    number = float(digits)
    if math.isinf(number):
        raise Malformed("number-too-large")
    return number


def _refuse_many_digits(digits: str) -> None:
    if len(digits) > MOST_DIGITS and sum(map(str.isdigit, digits)) > MOST_DIGITS:
        raise Malformed("number-too-large")


def _refuse_constant(_name: str) -> Never:
    raise Malformed("not-json")


def _refuse_lone_surrogates(text: str) -> None:
    for escape in _ESCAPES.finditer(text):
        if escape[1]:
            raise Malformed("bad-text", offset=_bytes_before(text, escape.start()))


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for name, _value in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("no name is repeated")


def _bytes_before(text: str, characters: int) -> int:
    return len(text[:characters].encode("utf-8"))
