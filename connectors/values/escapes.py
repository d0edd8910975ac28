"""Escapes in texts that systems repeat: remove one layer of them, and find a place in the original again. Pure."""

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache

# Each begins with one of `ESCAPE_MARKS`, for which `re` looks fast.
ESCAPES = {
    "url": rb"%[0-9A-Fa-f]{2}",
    "json": rb"\\(?:u[dD][89aAbB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}"
    rb"|x[0-9A-Fa-f]{2}|(?:\\\\)*\\|[^ux\\])",
    "html": rb"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|quot|amp|lt|gt|apos);",
}
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_ENTITIES = {b"quot": b'"', b"amp": b"&", b"lt": b"<", b"gt": b">", b"apos": b"'"}


def compile_escapes(kinds: Iterable[str] = tuple(ESCAPES)) -> re.Pattern[bytes]:
    """Return a pattern for one escape of these kinds."""
    return re.compile(b"|".join(ESCAPES[kind] for kind in kinds), re.DOTALL)


ESCAPE = compile_escapes()
ESCAPE_MARKS = (b"%", b"\\", b"&", b"\n")
"""A text without these bytes has no escape and no line break: `list_views` returns nothing for it."""
# Spaces are looked at from the first of them only: a text of nothing else would cost its length squared.
_LINE_BREAK = re.compile(rb"(?:(?<![ \t])[ \t]++)?\r?\n[ \t]*+")


class TextView:
    """A text, as it is or with layers of escapes removed, which knows where its bytes were in the original.
    `is_joined`: its lines were joined.
    """

    __slots__ = ("_map", "_pattern", "_source", "data", "is_joined")

    def __init__(
        self, data: bytes, source: "TextView | None" = None, pattern: re.Pattern[bytes] | None = None
    ) -> None:
        self.data = data
        self._source = source
        self._pattern = pattern
        self.is_joined = pattern is _LINE_BREAK
        self._map: tuple[list[int], list[int], list[int], list[int]] | None = None

    def unescape(self) -> "TextView | None":
        """Return a view with one more layer of escapes removed, of all kinds; None if there is none."""
        if not (b"%" in self.data or b"\\" in self.data or b"&" in self.data):
            return None
        decoded = unescape(self.data)
        return None if decoded == self.data else TextView(decoded, self, ESCAPE)

    def join_lines(self) -> "TextView | None":
        """Return a view without line breaks and the spaces around them; None if there are none."""
        if b"\n" not in self.data:
            return None
        return TextView(_LINE_BREAK.sub(b"", self.data), self, _LINE_BREAK)

    def to_original(self, start: int, end: int) -> tuple[int, int]:
        """Return the range of the original text for a range of this one."""
        if self._source is None:
            return start, end
        starts, ends, source_starts, source_ends = self._replacements(self._source.data)
        first = bisect_right(starts, start) - 1
        if first >= 0:
            is_inside = start < ends[first]
            start = source_starts[first] if is_inside else source_ends[first] + start - ends[first]
        last = bisect_right(starts, end - 1) - 1
        if last >= 0:
            is_inside = end - 1 < ends[last]
            end = source_ends[last] if is_inside else source_ends[last] + end - ends[last]
        return self._source.to_original(start, end)

    def _replacements(self, source: bytes) -> tuple[list[int], list[int], list[int], list[int]]:
        """Return where replacements begin and end, here and in the source. Computed only if something is found."""
        if self._map is None:
            starts: list[int] = []
            ends: list[int] = []
            source_starts: list[int] = []
            source_ends: list[int] = []
            shift = 0
            assert self._pattern is not None, "the original text is not a view of another one"
            replace: Callable[[re.Match[bytes]], bytes] = _remove if self.is_joined else _decode_match
            for match in self._pattern.finditer(source):
                length = len(replace(match))
                starts.append(match.start() + shift)
                ends.append(match.start() + shift + length)
                source_starts.append(match.start())
                source_ends.append(match.end())
                shift += length - (match.end() - match.start())
            self._map = (starts, ends, source_starts, source_ends)
        return self._map


def list_views(data: bytes, max_layers: int) -> list[TextView]:
    """Return the other ways to read a text: with one layer of escapes removed, two, up to `max_layers`, and each of
    them and the text itself with joined lines.
    """
    views = [TextView(data)]
    while len(views) <= max_layers and (inner := views[-1].unescape()) is not None:
        views.append(inner)
    joined = [view.join_lines() for view in views]
    return [*views[1:], *[view for view in joined if view is not None]]


def unescape(data: bytes) -> bytes:
    """Return the bytes with one layer of escapes removed."""
    return ESCAPE.sub(_decode_match, data)


def _remove(_: re.Match[bytes]) -> bytes:
    return b""


def _decode_match(match: re.Match[bytes]) -> bytes:
    return _decode_escape(match[0])


@lru_cache(maxsize=4096)
def _decode_escape(escape: bytes) -> bytes:
    """Return the bytes, in UTF-8, for which an escape stands."""
    if escape.startswith((b"%", b"\\x")):
        return bytes([int(escape[-2:], 16)])
    if escape.startswith(b"&"):
        return _decode_entity(escape[1:-1])
    if escape.startswith(b"\\\\"):
        return escape[: len(escape) // 2]
    if escape.startswith(b"\\u"):
        units = [int(part, 16) for part in escape[2:].split(b"\\u")]
        text = b"".join(unit.to_bytes(2, "big") for unit in units).decode("utf-16-be", "surrogatepass")
        return text.encode("utf-8", "surrogatepass")
    return _LETTERS.get(escape[1:], escape[1:])


def _decode_entity(name: bytes) -> bytes:
    if not name.startswith(b"#"):
        return _ENTITIES[name]
    digits = name[1:]
    point = int(digits[1:], 16) if digits[:1] in b"xX" else int(digits)
    return chr(min(point, sys.maxunicode)).encode("utf-8", "surrogatepass")
