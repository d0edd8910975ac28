"""Long answers: on PostgreSQL each holds a connection until its last byte has left, so few are sent at once."""

from collections.abc import Callable, Generator, Iterator
from threading import BoundedSemaphore
from typing import TypeVar

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

T = TypeVar("T", bytes, str)


def most_with(connections: int) -> int:
    """How many a process with so many connections sends at once: the others are for webhooks."""
    return max(1, min(4, connections // 2))


MOST = most_with(settings.DATABASES["default"]["OPTIONS"].get("pool", {}).get("max_size", 8))
_places = BoundedSemaphore(MOST)


def in_place(pieces: Iterator[T], nothing: T, begin: Callable[[], None]) -> Iterator[T] | None:
    """The pieces, once `begin` is done; None where as many are being sent as may be.

    The next one may begin when these have ended, are closed or forgotten. `nothing`: an empty piece.
    """
    if not _places.acquire(blocking=False):
        return None
    held = _until_it_ends(pieces, nothing, begin)
    next(held)  # what has not begun would not notice that it ends
    return held


def _until_it_ends(pieces: Iterator[T], nothing: T, begin: Callable[[], None]) -> Generator[T, None, None]:
    try:
        begin()
        yield nothing
        yield from pieces
    finally:
        _places.release()


def too_many(request: HttpRequest, page: str) -> HttpResponse:
    """Back to the page that has the button."""
    told = _("%(count)d downloads are being sent already. Try again when one of them has ended.")
    messages.warning(request, told % {"count": MOST})
    return redirect(page)
