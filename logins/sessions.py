"""Sessions in the database under hashes of their keys: a reader of the table cannot use a session.

The cookie holds the key. A key has 165 random bits, so a plain hash is enough.
"""

import hashlib
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

# The length of Django's column.
_STORED_LENGTH = 40


def stored_key(session_key: str | None) -> str:
    """Return the key under which the session of a cookie is stored."""
    return hashlib.sha256((session_key or "").encode()).hexdigest()[:_STORED_LENGTH]


class SessionStore(DatabaseStore):
    """Django's sessions, with each key replaced by its hash on the way to the database."""

    def _get_session_from_db(self) -> Any:
        stored = self.model.objects.filter(
            session_key=stored_key(self.session_key), expire_date__gt=timezone.now()
        ).first()
        if stored is None:
            self._session_key = None
        return stored

    async def _aget_session_from_db(self) -> Any:
        return await sync_to_async(self._get_session_from_db)()

    def exists(self, session_key: str) -> bool:
        return super().exists(stored_key(session_key))

    async def aexists(self, session_key: str) -> bool:
        return await sync_to_async(self.exists)(session_key)

    def create_model_instance(self, data: Any) -> Any:
        row = super().create_model_instance(data)
        row.session_key = stored_key(self.session_key)
        return row

    async def acreate_model_instance(self, data: Any) -> Any:
        return await sync_to_async(self.create_model_instance)(data)

    def delete(self, session_key: str | None = None) -> None:
        key = self.session_key if session_key is None else session_key
        if key is not None:
            super().delete(stored_key(key))

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)
