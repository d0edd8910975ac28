"""Find parts of long secrets in a text: any 12 bytes that follow one another in one of their forms. Pure."""

import sys
from collections.abc import Iterable, Iterator

WINDOW_BYTES = 12
"""So many bytes of a long secret are looked for, wherever in it they are."""

# Of a text, four bytes are looked at in every eight: so each window has four that are.
_GRAM_BYTES, _STEP = 4, 8
assert _STEP + _GRAM_BYTES <= WINDOW_BYTES + 1

_FOLDED = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_", b"abcdefghijklmnopqrstuvwxyz+/")

Grams = frozenset[int]


def fold(data: bytes) -> bytes:
    """Return bytes in lower case, and base64url as base64: secrets are compared without these differences."""
    return data.translate(_FOLDED)


def fold_and_sample(data: bytes) -> tuple[bytes, Grams]:
    """Return a text folded, and four bytes out of every eight of it, each four as a number."""
    folded = fold(data)
    whole = len(folded) - len(folded) % _GRAM_BYTES
    return folded, frozenset(memoryview(folded)[:whole].cast("I")[:: _STEP // _GRAM_BYTES].tolist())


class WindowIndex:
    """The forms of secrets, prepared for the search for their windows.

    The cost of a search grows with the length of the text, hardly with the number of forms.
    """

    __slots__ = ("_text", "grams")

    def __init__(self, forms: Iterable[bytes]) -> None:
        forms = sorted(forms)
        self._text = b"\0".join(forms)
        self.grams = frozenset(
            int.from_bytes(form[at : at + _GRAM_BYTES], sys.byteorder)
            for form in forms
            for at in range(len(form) - _GRAM_BYTES + 1)
        )

    def find_windows(self, data: bytes, grams: Grams, limit: int) -> list[tuple[int, int]]:
        """Return where parts of forms are in a text, at most `limit`. `grams` are those of `fold_and_sample`."""
        found: list[tuple[int, int]] = []
        end = 0
        for at in sorted({at for gram in self.grams & grams for at in _list_samples(data, gram)}):
            # What begins before the end of the last part was found with it.
            if at < end:
                continue
            start, end_of_part = self._longest_part(data, at)
            if end_of_part - start < WINDOW_BYTES:
                continue
            end = end_of_part
            found.append((start, end))
            if len(found) >= limit:
                break
        return found

    def _longest_part(self, data: bytes, at: int) -> tuple[int, int]:
        """Return the longest part of a form that contains the four bytes at this place."""
        parts = [(at, at)]
        place = self._text.find(data[at : at + _GRAM_BYTES])
        while place >= 0:
            length = _matching_length_before(data, at, self._text, place)
            form = self._text[place : self._form_end(place)]
            parts.append((at - length, at + matching_length(data, at, form)))
            place = self._text.find(data[at : at + _GRAM_BYTES], place + 1)
        return max(parts, key=lambda part: part[1] - part[0])

    def _form_end(self, place: int) -> int:
        end = self._text.find(b"\0", place)
        return end if end >= 0 else len(self._text)


def _list_samples(data: bytes, gram: int) -> Iterator[int]:
    """Yield the sampled places that have these four bytes."""
    wanted = gram.to_bytes(_GRAM_BYTES, sys.byteorder)
    at = data.find(wanted)
    while at >= 0:
        if at % _STEP == 0:
            yield at
        at = data.find(wanted, at + 1)


def _matching_length_before(data: bytes, at: int, text: bytes, place: int) -> int:
    """Return how many bytes before the two places are the same: at most eight, for more were found from there."""
    length = 0
    most = min(_STEP, at, place)
    while length < most and data[at - length - 1] == text[place - length - 1]:
        length += 1
    return length


def matching_length(data: bytes, at: int, form: bytes) -> int:
    """Return how many bytes of a form are at this place: all of them, or those before something cut it."""
    part = data[at : at + len(form)]
    if part == form:
        return len(form)
    pairs = enumerate(zip(part, form, strict=False))
    return next((index for index, (one, other) in pairs if one != other), len(part))
