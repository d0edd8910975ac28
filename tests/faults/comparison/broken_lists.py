"""Lists of the stand-ins that break off, or say less than there is, at a page of one's choice."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.base.service import SandboxService
from sandbox.http.messages import HttpError, Request, Response

Page = dict[str, Any]
# What becomes of the page: a response, or an error.
Breakage = Callable[[Page], Response]

_ITEMS = ("resources", "items")
_TOTALS = ("totalResults", "total")


def _empty(page: Page) -> Page:
    return {name: [] if name in _ITEMS else value for name, value in page.items()}


def empty_page(page: Page) -> Response:
    """Answer 200 with no items, and the total as it is."""
    return Response.from_json(200, _empty(page))


def empty_end(page: Page) -> Response:
    """Answer 200 with no items, as if the list had ended before."""
    start = int(page.get("startIndex", 0))
    return Response.from_json(
        200, {name: start if name in _TOTALS else value for name, value in _empty(page).items()}
    )


def nothing_at_all(page: Page) -> Response:
    """Answer 200 with no items and a total of none."""
    return Response.from_json(
        200, {name: 0 if name in _TOTALS else value for name, value in _empty(page).items()}
    )


def short_page(page: Page) -> Response:
    """Answer with the first item alone, and a total that fits: the list ends here."""
    start = int(page.get("startIndex", 0))
    short = {name: value[:1] if name in _ITEMS else value for name, value in page.items()}
    return Response.from_json(
        200, {name: start + 1 if name in _TOTALS else value for name, value in short.items()}
    )


def server_error(page: Page) -> Response:
    raise HttpError(500, "Something went wrong on our side.")


def forbidden(page: Page) -> Response:
    raise HttpError(403, "This token may not list.")


def expired_token(page: Page) -> Response:
    raise HttpError(401, "The token is missing or wrong.")


def no_json(page: Page) -> Response:
    return Response(200, b"<html>Maintenance</html>", "text/html; charset=utf-8")


BREAKAGES: tuple[Breakage, ...] = (
    empty_page,
    empty_end,
    nothing_at_all,
    short_page,
    server_error,
    forbidden,
    expired_token,
    no_json,
)


@contextmanager
def broken_list(service: SandboxService, path: str, first: int, breakage: Breakage) -> Iterator[None]:
    """Let the list at this path break from its page `first` (from 1) on. Searches are answered as ever."""
    handle = service.handle_api_request

    def handle_broken(request: Request) -> Response:
        response = handle(request)
        if request.method != "GET" or request.path != path or not _is_page(request):
            return response
        page = json.loads(response.body)
        start, size = (int(request.query.get(name, 0)) for name in _bounds(request))
        return breakage(page) if start // max(size, 1) + 1 >= first else response

    service.handle_api_request = handle_broken  # type: ignore[method-assign]
    try:
        yield
    finally:
        del service.handle_api_request


def _bounds(request: Request) -> tuple[str, str]:
    return ("startIndex", "count") if "startIndex" in request.query else ("offset", "limit")


def _is_page(request: Request) -> bool:
    """True for a request of a page, False for a search."""
    return not set(request.query) - {"startIndex", "count", "offset", "limit"}
