"""Context of people's entries: session and request of the acting person.

Services name the actor. The rest is set once around a request, and every entry that a person causes meanwhile carries
it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from audit.format.canonical_json import JSONValue

ReadContext = Callable[[], Mapping[str, JSONValue]]

# Actors that are people begin with it; the rest is the key of the user.
PERSON_PREFIX = "person:"
CONTEXT_FIELD = "by"
_context_reader: ContextVar[ReadContext | None] = ContextVar("actor_context", default=None)


@contextmanager
def actor_context(read_context: ReadContext) -> Iterator[None]:
    """Add the result of `read_context` to entries of people inside the block. It is called only if there is such an
    entry.
    """
    token = _context_reader.set(read_context)
    try:
        yield
    finally:
        _context_reader.reset(token)


def add_actor_context(details: Mapping[str, JSONValue]) -> Mapping[str, JSONValue]:
    """Return the details of a person's entry, with the context added if one is set."""
    read_context = _context_reader.get()
    if read_context is None:
        return details
    return {**details, CONTEXT_FIELD: dict(read_context())}
