"""Under what circumstances people's entries are made: as whom, in which session, by which request.

Services name who did something. What is known of the request besides is set once around it, and every entry that a
person makes meanwhile carries it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from audit.format.canonical_json import JSONValue

ReadContext = Callable[[], Mapping[str, JSONValue]]

CONTEXT_FIELD = "by"
_context_reader: ContextVar[ReadContext | None] = ContextVar("circumstances", default=None)


@contextmanager
def actor_context(read_context: ReadContext) -> Iterator[None]:
    """Within, entries of people carry what `tell` says; it is asked only when there is such an entry."""
    token = _context_reader.set(read_context)
    try:
        yield
    finally:
        _context_reader.reset(token)


def add_actor_context(actor: str, details: Mapping[str, JSONValue]) -> Mapping[str, JSONValue]:
    """The details of an entry of this actor, with the circumstances where there are any."""
    tell = _context_reader.get()
    if tell is None or not actor.startswith("person:"):
        return details
    return {**details, CONTEXT_FIELD: dict(tell())}
