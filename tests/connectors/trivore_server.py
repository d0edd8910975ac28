"""A small Trivore: the part of its management API that an integration reads, as its own SDK expects it."""

import re
from base64 import b64encode
from typing import Any
from urllib.parse import unquote

from tests.support.http.servers import Reply, SeenRequest

CLIENT, SECRET = "mgmt-client", "mgmt-secret"
_PATH = re.compile(r"/api/rest/v1/(user|group|datastorage)(?:/([^/]+))?")


def user(entity_id: str, username: str) -> dict[str, Any]:
    """Return a user as in the management view."""
    return {
        "id": entity_id,
        "username": username,
        "nsCode": "demo",
        "name": {"givenName": username.title(), "familyName": "Aalto"},
        "emails": [{"address": f"{username}@example.com", "verified": True}],
        "mobiles": [],
        "memberOf": ["5b0000000000000000000001"],
        "meta": {"lastModified": "2026-11-24T10:00:00.123Z"},
    }


def _refusal(status: int, sentence: str) -> Reply:
    return Reply(status, {"errorMessage": sentence, "statusCode": status})


class Trivore:
    """Its state, and its answer to each request. `denied` names a permission that the client lacks."""

    def __init__(self) -> None:
        names = ("anna", "bertil", "cecilia", "daavid", "eeva")
        users = [user(f"5a000000000000000000000{number}", name) for number, name in enumerate(names)]
        group = {"id": "5b0000000000000000000001", "name": "Regulars", "nsCode": "demo", "meta": {}}
        storage = {"id": "5c0000000000000000000001", "name": "Letters", "size": 3}
        self.entities = {
            "user": {one["id"]: one for one in users},
            "group": {group["id"]: group},
            "datastorage": {storage["id"]: storage},
        }
        self.denied: str | None = None

    def answer(self, seen: SeenRequest) -> Reply:
        """Return the answer of the real service."""
        expected = "Basic " + b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if seen.headers.get("authorization") != expected:
            return _refusal(401, "Bad credentials.")
        if self.denied:
            return _refusal(403, f"Client does not have required permission {self.denied}.")
        path = _PATH.fullmatch(unquote(seen.path))
        if path is None:
            return _refusal(404, "Not found.")
        entities = self.entities[path[1]]
        return self._one(seen, entities, path[2]) if path[2] else self._page(seen, list(entities.values()))

    def _one(self, seen: SeenRequest, entities: dict[str, Any], entity_id: str) -> Reply:
        if entity_id not in entities:
            return _refusal(404, "Object not found.")
        if seen.method == "PUT":
            kept = {name: value for name, value in seen.json().items() if value is not None}
            entities[entity_id] = kept | {"id": entity_id, "meta": {"lastModified": "2026-11-24T11:00:00Z"}}
        if seen.method == "DELETE":
            del entities[entity_id]
            return Reply(204)
        return Reply(200, entities[entity_id])

    def _page(self, seen: SeenRequest, entities: list[dict[str, Any]]) -> Reply:
        start, count = int(seen.query.get("startIndex", 0)), int(seen.query.get("count", 100))
        if count > 500:
            return _refusal(400, "count may be 500 at most.")
        wanted = re.fullmatch(r'(\w+) eq "(.*)"', seen.query.get("filter", ""))
        found = [one for one in entities if not wanted or str(one.get(wanted[1])) == wanted[2]]
        page = found[start : start + count]
        return Reply(
            200,
            {"resources": page, "totalResults": len(found), "startIndex": start, "itemsPerPage": len(page)},
        )
