"""Which deliveries somebody is about to close by hand, frozen under a key until that is confirmed.

The set stands in the session, so that the page confirms exactly what was chosen. The key becomes that of the request,
which the database takes once.
"""

from collections.abc import Iterable
from uuid import UUID, uuid4

from django.http import HttpRequest

_NAME = "closing_choices"
_KEPT = 5


def freeze(request: HttpRequest, deliveries: Iterable[int]) -> UUID:
    """Keep a choice; returns its key. Of more than five the oldest is forgotten."""
    key = uuid4()
    choices = [*request.session.get(_NAME, {}).items(), (str(key), list(deliveries))]
    request.session[_NAME] = dict(choices[-_KEPT:])
    return key


def chosen(request: HttpRequest, key: UUID) -> tuple[int, ...] | None:
    """None where this person made no choice of that key, or used it."""
    found = request.session.get(_NAME, {}).get(str(key))
    return None if found is None else tuple(found)


def forget(request: HttpRequest, key: UUID) -> None:
    """The choice was carried out."""
    choices = request.session.get(_NAME, {})
    choices.pop(str(key), None)
    request.session[_NAME] = choices
