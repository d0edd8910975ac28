"""Which function answers which path."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from sandbox.http.messages import Answer, Problem, Request

View = Callable[..., Answer]
"""Takes the request and the decoded variable parts of its path."""


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    pattern: re.Pattern[str]
    view: View


class Router:
    """Routes such as ``("GET", "/users/{}", view)``; ``{}`` stands for one segment of the path."""

    def __init__(self, *routes: tuple[str, str, View]) -> None:
        self._routes: list[_Route] = []
        for method, template, view in routes:
            self.add(method, template, view)

    def add(self, method: str, template: str, view: View) -> None:
        pattern = re.escape(template).replace(r"\{\}", "([^/]+)")
        self._routes.append(_Route(method, re.compile(pattern + "/?"), view))

    def knows(self, request: Request) -> bool:
        """Whether some method of this path has a view."""
        return any(route.pattern.fullmatch(request.path) for route in self._routes)

    def answer(self, request: Request) -> Answer:
        """The view's answer.

        Raises Problem: 404 for an unknown path, 405 (with Allow) for an unknown method of a known one.
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
            raise Problem(
                405, "This method is not allowed here.", headers={"Allow": ", ".join(sorted(allowed))}
            )
        raise Problem(404, "Nothing was found at this address.")
