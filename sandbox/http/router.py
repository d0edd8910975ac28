"""Routes from methods and paths to views."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from sandbox.http.messages import HttpError, Request, Response

View = Callable[..., Response]
"""Takes the request and the decoded variable parts of its path."""


@dataclass(frozen=True, slots=True)
class _Route:
    """A method and a pattern of paths with the view that responds to them."""

    method: str
    pattern: re.Pattern[str]
    view: View


class Router:
    """Routes such as ``("GET", "/users/{}", view)``; ``{}`` matches one segment of the path."""

    def __init__(self, *routes: tuple[str, str, View]) -> None:
        self._routes: list[_Route] = []
        for method, template, view in routes:
            self.add_route(method, template, view)

    def add_route(self, method: str, template: str, view: View) -> None:
        """Route a method of the paths that match ``template``, with or without a slash at the end, to a view."""
        pattern = re.escape(template).replace(r"\{\}", "([^/]+)")
        self._routes.append(_Route(method, re.compile(pattern + "/?"), view))

    def has_path(self, request: Request) -> bool:
        """True if at least one method of the request's path has a view."""
        return any(route.pattern.fullmatch(request.path) for route in self._routes)

    def dispatch(self, request: Request) -> Response:
        """Return the response of the view for a request.

        Raises HttpError: 404 for an unknown path, 405 (with Allow) for an unknown method of a known path.
        """
        method = "GET" if request.method == "HEAD" else request.method
        allowed: set[str] = set()
        for route in self._routes:
            match = route.pattern.fullmatch(request.path)
            if match and route.method == method:
                return route.view(request, *map(unquote, match.groups()))
            if match:
                allowed.add(route.method)
        if allowed:
            raise HttpError(
                405, "This method is not allowed here.", headers={"Allow": ", ".join(sorted(allowed))}
            )
        raise HttpError(404, "Nothing was found at this address.")
