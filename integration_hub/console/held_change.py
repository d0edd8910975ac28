"""A change that somebody typed and has not confirmed yet: sealed, in the session, for a quarter of an hour.

What was typed may hold secrets, so no page carries it from one step to the next.
"""

import time
from base64 import b64decode, b64encode
from uuid import UUID, uuid4

from django.http import HttpRequest, QueryDict

from webhooks.sealing import CannotOpen, seal, unseal

_NAME = "held_changes"
_KEPT = 3
_SECONDS = 900.0


def hold(request: HttpRequest, about: str, typed: QueryDict) -> UUID:
    """Keep what was typed about one row; returns its key. Of more than three the oldest is forgotten."""
    key = uuid4()
    sealed = b64encode(seal(typed.urlencode().encode())).decode("ascii")
    changes = [*request.session.get(_NAME, {}).items(), (str(key), [about, time.time(), sealed])]
    request.session[_NAME] = dict(changes[-_KEPT:])
    return key


def held(request: HttpRequest, about: str, key: UUID) -> QueryDict | None:
    """None where this person holds no such change of this row, or it is too old."""
    found = request.session.get(_NAME, {}).get(str(key))
    if found is None or found[0] != about or time.time() - found[1] > _SECONDS:
        return None
    try:
        return QueryDict(unseal(b64decode(found[2])).decode())
    except CannotOpen:  # its key was taken away meanwhile
        return None


def let_go(request: HttpRequest, key: UUID) -> None:
    """The change was made, or given up."""
    changes = request.session.get(_NAME, {})
    changes.pop(str(key), None)
    request.session[_NAME] = changes
