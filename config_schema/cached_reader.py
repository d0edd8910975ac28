"""Read documents that are read again and again, and keep the results. Pure."""

from typing import Any, Generic, TypeVar

from config_schema.kinds import ValueKind

T = TypeVar("T")


class CachedReader(Generic[T]):
    """Reads JSON documents by a kind, and keeps the results by content: as many as `most`. They are shared, so they
    must not be changed.
    """

    def __init__(self, kind: ValueKind[T], most: int = 256) -> None:
        self._kind = kind
        self._most = most
        self._results: dict[str, T] = {}

    def read(self, document: Any) -> T:
        """Return what the document is read as. Raises SettingsInvalid, which is not kept."""
        # Two documents with the same text are equal, and their values are of the same types.
        key = repr(document)
        result = self._results.get(key)
        if result is None:
            result = self._kind.read(document, ())
            if len(self._results) >= self._most:
                self._results.clear()
            self._results[key] = result
        return result
