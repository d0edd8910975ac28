"""Steps that wait for a confirmation: kept in the session under a key, the oldest dropped first.

The page that confirms then acts on exactly what was chosen or typed before it.
"""

import time
from base64 import b64decode, b64encode
from typing import Any
from uuid import UUID, uuid4

from django.http import HttpRequest, QueryDict

from webhooks.encryption.at_rest import CannotOpen, seal, unseal


class PendingStore:
    """Values of one kind in the session of a person. `max_values`: how many are kept."""

    def __init__(self, name: str, max_values: int) -> None:
        self._name = name
        self.max_values = max_values

    def add(self, request: HttpRequest, value: Any) -> UUID:
        """Keep a value that JSON can hold; returns its key."""
        key = uuid4()
        values = [*request.session.get(self._name, {}).items(), (str(key), value)]
        request.session[self._name] = dict(values[-self.max_values :])
        return key

    def get(self, request: HttpRequest, key: UUID) -> Any:
        """Return the value, or None where this person has none under that key."""
        return request.session.get(self._name, {}).get(str(key))

    def remove(self, request: HttpRequest, key: UUID) -> None:
        """Drop the value: the step was confirmed, or given up."""
        values = request.session.get(self._name, {})
        values.pop(str(key), None)
        request.session[self._name] = values


class PendingChangeStore(PendingStore):
    """Typed changes of settings: encrypted, since they may hold secrets, and kept for a quarter of an hour.

    No page carries them from one step to the next.
    """

    lifetime_seconds = 900.0

    def put_change(self, request: HttpRequest, row_label: str, typed: QueryDict) -> UUID:
        """Keep what was typed about one row; returns its key."""
        sealed = b64encode(seal(typed.urlencode().encode())).decode("ascii")
        return self.add(request, [row_label, time.time(), sealed])

    def get_change(self, request: HttpRequest, row_label: str, key: UUID) -> QueryDict | None:
        """Return what was typed; None where this person holds no such change of this row, or it is too old."""
        found = self.get(request, key)
        if found is None or found[0] != row_label or time.time() - found[1] > self.lifetime_seconds:
            return None
        try:
            return QueryDict(unseal(b64decode(found[2])).decode())
        except CannotOpen:  # its key was taken away meanwhile
            return None
