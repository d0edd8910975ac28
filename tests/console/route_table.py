"""The routes of the hub, and the table `route_table.txt` of what each visitor gets from each of them.

A new route needs its rows there. A row has the route, the method, and one answer for each visitor; `login` is a redirect
to the login page, `-` stands for the answer of the visitor before.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.support.people import person

TABLE = Path(__file__).with_name("route_table.txt")
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS")
VISITORS = ("anonymous", "no-console", "no-role", "support", "auditor", "administrator", "superuser")
ROLES = ("support", "auditor", "administrator")
_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
_ABSENT = UUID(int=0)
# The slug of the source that `rows` makes, a code of the catalogue, and a page and a schema of the reference.
_NAMED = {"slug": "aurora", "code": "target-rejected", "page": "mapping", "schema": "mapping"}


def routes(patterns: Any = None, prefix: str = "") -> Iterator[str]:
    """Yield the routes of the project, without what regular expressions add at their ends."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route


def address_of(route: str, found: dict[str, Any]) -> str:
    """Return an address of the route, with the key of a row where the route is about one."""
    model = re.match(r"admin/(\w+)/(\w+)/", route)
    row = found.get("_".join(model.groups())) if model else None
    key = str(row.pk) if row is not None else "1"

    def value(parameter: re.Match[str]) -> str:
        kind, name = parameter.groups()
        if kind == "uuid":
            return str(getattr(row, "uuid", None) or _ABSENT)
        # A page about another row: `…/route/<int:pk>/`, `…/secrets/<int:secret>/`.
        folder = parameter.string[: parameter.start()].rstrip("/").rpartition("/")[2]
        other = found.get(name) or found.get(f"sync_{folder}")
        if kind == "int" and other is not None:
            return str(other.pk)
        return key if kind == "int" or name in ("object_id", "id", "pk") else _NAMED.get(name, "csv")

    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda named: _NAMED.get(named[1], "nothing"), route)
    return "/" + _PARAMETER.sub(value, re.sub(r"/\?\\Z|[\^$]", "", plain))


def visitors(names: tuple[str, ...]) -> dict[str, Client]:
    """Return a client of each of these kinds of visitors."""
    clients = {name: Client(raise_request_exception=False) for name in names}
    for name, client in clients.items():
        if name.startswith("no-"):
            client.force_login(User.objects.create_user(name, is_staff=name == "no-role"))
        elif name != "anonymous":
            client.force_login(person("" if name == "superuser" else name, name))
    return clients


def read_table() -> dict[tuple[str, str], list[str]]:
    """Return the table as written."""
    table = {}
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            route, method, *cells = line.split()
            for place, cell in enumerate(cells):
                cells[place] = cells[place - 1] if cell == "-" else cell
            table["" if route == "/" else route, method] = cells
    return table


def pages_of(*roles: str) -> list[str]:
    """Return the routes of the console that show a page to one of these roles."""
    places = [VISITORS.index(role) for role in roles]
    return [
        route
        for (route, method), cells in read_table().items()
        if method == "GET" and route.startswith("admin/") and any(cells[place] == "200" for place in places)
    ]
