"""A SCIM 2.0 service that takes PatchOps and refuses everything else, with versions in ETags."""

import re
from itertools import count
from typing import Any

from tests.support.http.servers import Reply, SeenRequest

TOKEN = "s3cret-token"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_PATH = re.compile(r"/scim/v2/(?:Users|Groups)(?:/([^/]+))?")


class ScimService:
    """Users, whose user names are unique, or groups, whose names are. Each change makes a new version.

    `has_etags`: it has versions, which every write must name. `update`: the method that changes a resource.
    """

    def __init__(self, *, has_etags: bool = True, update: str = "PATCH", unique: str = "userName") -> None:
        self._numbers = count(1)
        self._has_etags = has_etags
        self._update = update
        self._unique = unique
        self.users: dict[str, dict[str, Any]] = {}

    @property
    def live(self) -> dict[str, dict[str, Any]]:
        """Return the resources by id."""
        return self.users

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a resource and return it."""
        key = f"{next(self._numbers):08x}"
        self.users[key] = {**fields, "id": key, "meta": {"version": 'W/"1"'}}
        return self.users[key]

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return _refuse(401, "Authorization failure.")
        match = _PATH.fullmatch(seen.path)
        if match is None:
            return _refuse(404, "Endpoint not found.")
        if match[1] is None:
            return self._create(seen) if seen.method == "POST" else self._search(seen)
        user = self.users.get(match[1])
        if user is None:
            return _refuse(404, f"Resource {match[1]} not found.")
        if seen.method == "GET":
            return self._reply(200, user)
        if self._has_etags and seen.headers.get("if-match") != user["meta"]["version"]:
            return _refuse(412, "Failed to update. Resource has changed on the server.")
        if seen.method == "DELETE":
            del self.users[match[1]]
            return Reply(204)
        if seen.method != self._update:
            return _refuse(405 if self._update == "PUT" else 400, "Only a PatchOp is accepted.")
        if self._is_taken(seen.json(), user["id"]):
            return _refuse(409, "User already exists in the database.", "uniqueness")
        return self._put(seen, user) if self._update == "PUT" else self._patch(seen, user)

    def _create(self, seen: SeenRequest) -> Reply:
        given = seen.json()
        schema = USER if seen.path.endswith("/Users") else GROUP
        if seen.headers.get("content-type") != "application/scim+json" or schema not in given.get(
            "schemas", ()
        ):
            return _refuse(400, "This is no SCIM user.", "invalidSyntax")
        if self._is_taken(given, None):
            return _refuse(409, "User already exists in the database.", "uniqueness")
        return self._reply(201, self.add(**given))

    def _is_taken(self, document: dict[str, Any], own_id: str | None) -> bool:
        """Return True if a resource, or a PatchOp, has the unique value of another resource."""
        operations = document.get("Operations", ())
        values = [document.get(self._unique)] + [
            one.get("value") for one in operations if one["path"] == self._unique
        ]
        others = [one for key, one in self.users.items() if key != own_id]
        return any(one[self._unique] in [value for value in values if value] for one in others)

    def _search(self, seen: SeenRequest) -> Reply:
        users = list(self.users.values())
        if "filter" in seen.query:
            match = re.fullmatch(r'(\w+) eq "((?:[^"\\]|\\.)*)"', seen.query["filter"])
            if match is None:
                return _refuse(400, "The filter is not valid.", "invalidFilter")
            value = re.sub(r"\\(.)", r"\1", match[2])
            users = [one for one in users if one.get(match[1]) == value]
        return Reply(200, {"totalResults": len(users), "Resources": users})

    def _patch(self, seen: SeenRequest, user: dict[str, Any]) -> Reply:
        document = seen.json()
        if seen.method != "PATCH" or document.get("schemas") != [PATCH_OP]:
            return _refuse(400, "Only a PatchOp is accepted.", "invalidSyntax")
        for operation in document["Operations"]:
            *outer, last = operation["path"].split(".")
            place = user
            for name in outer:
                place = place.setdefault(name, {})
            if operation["op"] == "remove":
                place.pop(last, None)
            else:
                place[last] = operation["value"]
        user["meta"]["version"] = f'W/"{int(user["meta"]["version"][3:-1]) + 1}"'
        return self._reply(200, user)

    def _put(self, seen: SeenRequest, user: dict[str, Any]) -> Reply:
        """Replace a resource, but for what the service sets itself."""
        document = seen.json()
        if seen.headers.get("content-type") != "application/scim+json" or not document.get("schemas"):
            return _refuse(400, "This is no SCIM resource.", "invalidSyntax")
        kept = {name: user[name] for name in ("id", "meta")}
        user.clear()
        user.update({**{name: value for name, value in document.items() if value is not None}, **kept})
        return self._reply(200, user)

    def _reply(self, status: int, user: dict[str, Any]) -> Reply:
        return Reply(status, user, {"ETag": user["meta"]["version"]} if self._has_etags else {})


def _refuse(status: int, detail: str, kind: str = "") -> Reply:
    return Reply(status, {"detail": detail, "scimType": kind, "status": str(status)})


def settings() -> dict[str, Any]:
    """Return the settings of a connection to the service: shorthand, but for the writes."""
    return {
        "entities": {
            "USER": {
                "collection": "/scim/v2/Users",
                "item": "/scim/v2/Users/{id}",
                "search": {
                    "path": "/scim/v2/Users",
                    "query": {"filter": "{field} eq {quoted}"},
                    "results": "Resources",
                    "fields": ["externalId", "userName"],
                },
                "list": {"path": "/scim/v2/Users", "query": {"count": "5"}, "results": "Resources"},
                "version": {"read": {"header": "ETag"}, "send": {"header": "If-Match"}},
                "operations": {
                    "create": {
                        "path": "/scim/v2/Users",
                        "headers": {"Content-Type": "application/scim+json"},
                        "body": {"expression": f"merge(sent, {{schemas: ['{USER}']}})"},
                    },
                    "update": {"path": "/scim/v2/Users/{id}", "style": "scim-patch"},
                },
            }
        },
        "answers": [{"status": 409, "when": "body.scimType == 'uniqueness'", "means": "exists"}],
        "error": {"sentence": "detail"},
    }
