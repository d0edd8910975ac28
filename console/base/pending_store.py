"""Session storage of a step that awaits confirmation. The oldest values are dropped first.

The confirming page acts on exactly what was selected or typed before.
"""

import time
from base64 import b64decode, b64encode
from typing import Any
from uuid import UUID, uuid4

from django.http import HttpRequest, QueryDict

from database.encryption.at_rest import CannotDecrypt, decrypt, encrypt


class PendingStore:
    """Values of one kind in a person's session, at most `max_values`."""

    def __init__(self, name: str, max_values: int) -> None:
        self._name = name
        self.max_values = max_values

    def add(self, request: HttpRequest, value: Any) -> UUID:
        """Store a JSON value and return its key."""
        key = uuid4()
        values = [*request.session.get(self._name, {}).items(), (str(key), value)]
        # The session notices only the assignment of a key, not a change inside the value.
        request.session[self._name] = dict(values[-self.max_values :])
        return key

    def get(self, request: HttpRequest, key: UUID) -> Any:
        """Return the value, or None if this session has none under that key."""
        return request.session.get(self._name, {}).get(str(key))

    def remove(self, request: HttpRequest, key: UUID) -> None:
        """Drop the value after its step was confirmed or abandoned."""
        values = request.session.get(self._name, {})
        values.pop(str(key), None)
        request.session[self._name] = values


class PendingChangeStore(PendingStore):
    """Typed changes of settings, stored for 15 minutes, encrypted because they may contain secrets.

    No page carries the values from one step to the next.
    """

    lifetime_seconds = 900.0

    def put_change(self, request: HttpRequest, row_label: str, typed: QueryDict) -> UUID:
        """Store the form data of a change of one row; returns its key."""
        sealed = b64encode(encrypt(typed.urlencode().encode())).decode("ascii")
        return self.add(request, [row_label, time.time(), sealed])

    def get_change(self, request: HttpRequest, row_label: str, key: UUID) -> QueryDict | None:
        """Return the form data, or None if this session has no such change of this row or it has expired."""
        change = self.get(request, key)
        # The label ties the change to its row: the key of one row's change must not work for another row.
        if change is None or change[0] != row_label or time.time() - change[1] > self.lifetime_seconds:
            return None
        try:
            return QueryDict(decrypt(b64decode(change[2])).decode())
        # The encryption key was removed since.
        except CannotDecrypt:
            return None
