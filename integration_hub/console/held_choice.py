"""Which held deliveries somebody is about to decide on, frozen under a key until it is confirmed.

The set stands in the session, so that the page confirms exactly what was chosen. The key becomes that of the
decision, which the database takes once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.http import HttpRequest

from sync.approving import Decision

_NAME = "held_choices"
_KEPT = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """Keys of deliveries, and what is to be done with them."""

    decision: Decision
    deliveries: tuple[int, ...]


def freeze(request: HttpRequest, decision: Decision, deliveries: Iterable[int]) -> UUID:
    """Keep a choice; returns its key. Of more than ten the oldest is forgotten."""
    key = uuid4()
    choices = [*request.session.get(_NAME, {}).items(), (str(key), [str(decision), list(deliveries)])]
    request.session[_NAME] = dict(choices[-_KEPT:])
    return key


def chosen(request: HttpRequest, key: UUID) -> Choice | None:
    """None where this person made no choice of that key, or used it."""
    found = request.session.get(_NAME, {}).get(str(key))
    return None if found is None else Choice(Decision(found[0]), tuple(found[1]))


def forget(request: HttpRequest, key: UUID) -> None:
    """The choice was carried out."""
    choices = request.session.get(_NAME, {})
    choices.pop(str(key), None)
    request.session[_NAME] = choices
