"""Tracebacks of exceptions, without the texts that may repeat a value of somebody's data."""

import traceback
from collections.abc import Iterator
from types import TracebackType

from django.core.exceptions import ImproperlyConfigured

# Their texts name files, modules, attributes and types. Those of other types repeat what was wrong: ValueError and
# KeyError a value, errors of the database a row, errors of `requests` an address with what was searched for.
_TYPES_WITH_SAFE_TEXTS = (
    ImproperlyConfigured,
    OSError,
    ImportError,
    NameError,
    AttributeError,
    TypeError,
    RecursionError,
    MemoryError,
)
# A chain that a loop built would fill the log.
_MAX_CHAINED = 10
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def format_traceback(error: BaseException, trace: TracebackType | None) -> str:
    """Return an exception and those that led to it as Python prints them, each with its text only if that is safe.

    `trace`: the traceback of the exception itself, which may have been taken off it.
    """
    parts = []
    for number, (chained, link) in enumerate(_chain_of(error)):
        frames = "".join(traceback.format_tb(chained.__traceback__ if number else trace))
        header = "Traceback (most recent call last):\n" if frames else ""
        parts.append(f"{header}{frames}{_describe_exception(chained)}\n{link}")
    return "".join(reversed(parts)).rstrip("\n")


def _chain_of(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """Yield the exception and those that led to it, newest first, each with the line that leads to the one before."""
    link, seen = "", set[int]()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < _MAX_CHAINED:
        seen.add(id(current))
        yield current, link
        if current.__cause__ is not None:
            current, link = current.__cause__, _CAUSE
        else:
            current, link = None if current.__suppress_context__ else current.__context__, _CONTEXT


def _describe_exception(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    # A library's subclass of OSError has texts of its own.
    is_known = kind.__module__ == "builtins" or kind is ImproperlyConfigured
    return f"{name}: {error}" if is_known and isinstance(error, _TYPES_WITH_SAFE_TEXTS) else name
