"""Under what circumstances people's entries are made: as whom, in which session, by which request.

Services name who did something. What is known of the request besides is set once around it, and every entry that a
person makes meanwhile carries it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from audit.format.canonical_json import JSONValue

Tell = Callable[[], Mapping[str, JSONValue]]

NAME = "by"
_tell: ContextVar[Tell | None] = ContextVar("circumstances", default=None)


@contextmanager
def under(tell: Tell) -> Iterator[None]:
    """Within, entries of people carry what `tell` says; it is asked only when there is such an entry."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


def with_circumstances(actor: str, details: Mapping[str, JSONValue]) -> Mapping[str, JSONValue]:
    """The details of an entry of this actor, with the circumstances where there are any."""
    tell = _tell.get()
    if tell is None or not actor.startswith("person:"):
        return details
    return {**details, NAME: dict(tell())}
