"""A strict store of records with lists of objects: SCIM users, and records that PUT or a patch of any kind changes.

It refuses unknown attributes, operations that it does not know, and a filter that selects nothing, as RFC 7644 demands.
"""

import re
from copy import deepcopy
from itertools import count
from typing import Any

from tests.support.http.servers import Reply, SeenRequest

TOKEN = "s3cret-token"
_LISTS = frozenset({"emails", "phoneNumbers", "addresses"})
_FIELDS = {
    "schemas",
    "id",
    "meta",
    "externalId",
    "userName",
    "displayName",
    "active",
    "name",
    "title",
    "note",
    *_LISTS,
}
_PATH = re.compile(r"(?P<name>\w+)(?:\[(?P<filter>[^\]]+)\])?(?:\.(?P<part>\w+))?")
_CONDITION = re.compile(r'(\w+) eq ("(?:[^"\\]|\\.)*"|true|false|-?[0-9.]+)')


class ListStore:
    """Users below `/Users`, each with the number of all changes as its ETag. `after_read`: what another client does right
    after the next read of a user.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self.users: dict[str, dict[str, Any]] = {}
        self.writes: list[SeenRequest] = []
        self.changes = 0
        self.after_read: list[Any] = []

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a user and return it."""
        key = str(next(self._numbers))
        self.users[key] = {"id": key, **deepcopy(fields)}
        return self.users[key]

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply(401, {"detail": "Invalid credentials"})
        if seen.path == "/Users":
            return self._create(seen) if seen.method == "POST" else self._search(seen.query)
        user = self.users.get(seen.path.removeprefix("/Users/"))
        if user is None:
            return Reply(404, {"detail": "Not found"})
        if seen.method == "GET":
            reply = Reply(200, deepcopy(user), {"ETag": self._tag()})
            while self.after_read:
                self.after_read.pop()()
                self.changes += 1
            return reply
        return self._change(seen, user)

    def _tag(self) -> str:
        return f'W/"{self.changes}"'

    def _create(self, seen: SeenRequest) -> Reply:
        self.writes.append(seen)
        if set(seen.json()) - _FIELDS:
            return Reply(400, {"detail": f"Unknown: {sorted(set(seen.json()) - _FIELDS)}"})
        return Reply(201, self.add(**seen.json()), {"ETag": self._tag()})

    def _search(self, query: dict[str, str]) -> Reply:
        users = list(self.users.values())
        if "filter" in query:
            name, text = re.fullmatch(r'(\w+) eq "(.*)"', query["filter"]).groups()  # type: ignore[union-attr]
            users = [user for user in users if str(user.get(name)).casefold() == text.casefold()]
        return Reply(200, {"totalResults": len(users), "Resources": users})

    def _change(self, seen: SeenRequest, user: dict[str, Any]) -> Reply:
        self.writes.append(seen)
        if "if-match" in seen.headers and seen.headers["if-match"] != self._tag():
            return Reply(412, {"detail": "Outdated"})
        changed = deepcopy(user)
        try:
            _apply(seen, changed)
        except (KeyError, ValueError, TypeError) as error:
            return Reply(400, {"detail": str(error)})
        if set(changed) - _FIELDS:
            return Reply(400, {"detail": f"Unknown: {sorted(set(changed) - _FIELDS)}"})
        user.clear()
        user.update(changed)
        self.changes += 1
        return Reply(200, user, {"ETag": self._tag()})


def _apply(seen: SeenRequest, user: dict[str, Any]) -> None:
    """Change a user as a request says. Raises KeyError, ValueError or TypeError for what is not valid."""
    body, content_type = seen.json(), seen.headers["content-type"]
    if isinstance(body, dict) and "Operations" in body:
        if body["schemas"] != ["urn:ietf:params:scim:api:messages:2.0:PatchOp"] or not body["Operations"]:
            raise ValueError("invalidSyntax")
        for operation in body["Operations"]:
            _apply_operation(user, **operation)
    elif content_type == "application/json-patch+json":
        for operation in body:
            name = operation["path"].removeprefix("/")
            if operation["op"] == "remove":
                del user[name]
            else:
                user[name] = operation["value"]
    elif seen.method == "PUT":
        key = user["id"]
        user.clear()
        user.update(body)
        if user.setdefault("id", key) != key:
            raise ValueError("mutability")
    else:
        user.update(body)


def _apply_operation(user: dict[str, Any], op: str, path: str, value: Any = None) -> None:
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError("invalidPath")
    name, condition, part = match["name"], match["filter"], match["part"]
    if condition is not None:
        _apply_to_items(user.get(name) or [], op, condition, part, value)
        user[name] = [item for item in user.get(name) or [] if item is not None]
    elif part is not None:
        inner = user.setdefault(name, {})
        inner.pop(part, None) if op == "remove" else inner.update({part: value})
    elif op == "remove":
        user.pop(name, None)
    elif op == "add" and name in _LISTS:
        user[name] = [*(user.get(name) or []), *value]
    elif value is None:
        raise ValueError("invalidValue")
    else:
        user[name] = value


def _apply_to_items(items: list[Any], op: str, condition: str, part: str | None, value: Any) -> None:
    """Change the items that a filter selects; one that is removed becomes None."""
    selected = [number for number, item in enumerate(items) if _fits(item, condition)]
    if not selected:
        raise ValueError("noTarget")
    for number in selected:
        if op == "remove" and part is None:
            items[number] = None
        elif op == "remove":
            items[number].pop(part, None)
        elif op == "replace" and part is not None:
            items[number][part] = value
        else:
            raise ValueError("invalidPath")


def _fits(item: Any, condition: str) -> bool:
    for one in condition.split(" and "):
        match = _CONDITION.fullmatch(one)
        if match is None:
            raise ValueError("invalidFilter")
        if not isinstance(item, dict) or _literal(item.get(match[1])) != match[2].casefold():
            return False
    return True


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"'.casefold() if isinstance(value, str) else str(value)
