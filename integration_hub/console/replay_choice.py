"""What somebody chose to replay, frozen under a key until it is confirmed.

The set stands in the session, so that the page confirms exactly what was chosen; the key becomes the
replay's own, and the database takes it once: a double click or a reload starts nothing twice, in however many
processes.
"""

from collections.abc import Iterable
from uuid import UUID, uuid4

from django.http import HttpRequest

_NAME = "replay_choices"
_KEPT = 10


def freeze(request: HttpRequest, events: Iterable[int]) -> UUID:
    """Keep the keys of events; returns the key of the choice. Of more than ten the oldest is forgotten."""
    key = uuid4()
    choices = [*request.session.get(_NAME, {}).items(), (str(key), list(events))]
    request.session[_NAME] = dict(choices[-_KEPT:])
    return key


def chosen(request: HttpRequest, key: UUID) -> list[int] | None:
    """The keys of the events of a choice; None where this person made none of that key, or used it."""
    found: list[int] | None = request.session.get(_NAME, {}).get(str(key))
    return found


def forget(request: HttpRequest, key: UUID) -> None:
    """The choice was carried out."""
    choices = request.session.get(_NAME, {})
    choices.pop(str(key), None)
    request.session[_NAME] = choices
