"""Remove known secrets from what a remote system sent, in every form in which systems repeat a request. Pure.

A secret is found as it is, in base64 and base64url (also within a longer base64 text, at each of the three alignments,
and in wrapped lines), in hex, and under up to three layers of escapes: `%XX`, `\\uXXXX` and the other escapes of JSON,
and those of HTML, in any mixture, and with letters of either case. A part of 12 bytes is found too; of a secret below
20 characters, if it begins where the secret begins.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from connectors.values.escapes import ESCAPE_MARKS, list_views
from connectors.values.secret_forms import MIN_SECRET_LENGTH, SecretSet
from connectors.values.secret_windows import fold_and_sample, matching_length

MASK = "***"
_MASK_BYTES = MASK.encode()
_MAX_LAYERS = 3
# A text with more of them is neither a sentence nor a record: it is masked as a whole.
_MAX_FOUND = 1000


class SecretScrubber:
    """Replaces the secrets of some sets by `***`. Sets can be included later: both ends of a delivery share one."""

    __slots__ = ("_sets",)

    def __init__(self, *sets: SecretSet) -> None:
        self._sets = sets

    def include(self, secrets: SecretSet) -> None:
        """Look for these secrets too, from now on."""
        if secrets not in self._sets:
            self._sets = (*self._sets, secrets)

    def contains_secret(self, *parts: bytes) -> bool:
        """Return True if one of the parts contains a secret."""
        # In one search: most parts are short, and contain none.
        return bool(self._find_ranges(b"\0".join(parts)))

    def scrub_bytes(self, data: bytes) -> bytes:
        """Return the bytes without secrets; the same object if there are none."""
        ranges = self._find_ranges(data)
        if not ranges:
            return data
        parts, position = [], 0
        for start, end in ranges:
            parts += [data[position:start], _MASK_BYTES]
            position = end
        return b"".join([*parts, data[position:]])

    def scrub_text(self, text: str) -> str:
        """Return the text without secrets; the same object if there are none."""
        data = text.encode("utf-8", "surrogatepass")
        clean = self.scrub_bytes(data)
        return text if clean is data else clean.decode("utf-8", "replace")

    def scrub_document(self, document: Any) -> Any:
        """Return a JSON value without secrets, also in names; the same object if there are none."""
        data = json.dumps(document, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
        return self._scrub_value(document) if self._find_ranges(data) else document

    def _scrub_value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {self.scrub_text(str(name)): self._scrub_value(content) for name, content in value.items()}
        if isinstance(value, list | tuple):
            return [self._scrub_value(content) for content in value]
        if value is None or isinstance(value, bool):
            return value
        text = str(value)
        clean = self.scrub_text(text)
        return value if clean is text else clean

    def _find_ranges(self, data: bytes) -> list[tuple[int, int]]:
        """Return where secrets are, in order and without overlaps."""
        if not self._sets or len(data) < MIN_SECRET_LENGTH:
            return []
        found = self._find_in_bytes(data)
        if any(mark in data for mark in ESCAPE_MARKS):
            for view in list_views(data, _MAX_LAYERS):
                if len(found) > _MAX_FOUND:
                    break
                parts = self._find_in_bytes(view.data, only_encoded=view.is_joined)
                found += [view.to_original(start, end) for start, end in parts]
        if len(found) > _MAX_FOUND:
            return [(0, len(data))]
        return list(_merge(found)) if found else []

    def _find_in_bytes(self, data: bytes, *, only_encoded: bool = False) -> list[tuple[int, int]]:
        """Return where secrets are in these bytes, at most a few more than the allowed number."""
        data, grams = fold_and_sample(data)
        found: list[tuple[int, int]] = []
        for secrets in self._sets:
            # Most texts contain nothing of a secret.
            if not secrets.grams.isdisjoint(grams):
                indexes = [secrets.encoded_windows, *([] if only_encoded else [secrets.plain_windows])]
                for index in indexes:
                    found += index.find_windows(data, grams, _MAX_FOUND + 1)
            for start, forms, is_encoded in secrets.needles:
                at = data.find(start) if is_encoded or not only_encoded else -1
                while at >= 0 and len(found) <= _MAX_FOUND:
                    end = at + max([matching_length(data, at, form) for form in forms])
                    found.append((at, end))
                    at = data.find(start, end)
        return found


def _merge(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first, *others = sorted(ranges)
    start, end = first
    for next_start, next_end in others:
        if next_start > end:
            yield start, end
            start, end = next_start, next_end
        end = max(end, next_end)
    yield start, end
