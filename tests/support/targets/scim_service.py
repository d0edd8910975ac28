"""A SCIM 2.0 service that takes PatchOps and refuses everything else, with versions in ETags."""

import re
from itertools import count
from typing import Any

from tests.support.http.servers import Reply, SeenRequest

TOKEN = "s3cret-token"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_PATH = re.compile(r"/scim/v2/Users(?:/([^/]+))?")


class ScimService:
    """Users, whose user names are unique. Each change makes a new version."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.users: dict[str, dict[str, Any]] = {}

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
            return _reply(200, user)
        if seen.headers.get("if-match") != user["meta"]["version"]:
            return _refuse(412, "Failed to update. Resource has changed on the server.")
        if seen.method == "DELETE":
            del self.users[match[1]]
            return Reply(204)
        return self._patch(seen, user)

    def _create(self, seen: SeenRequest) -> Reply:
        given = seen.json()
        if seen.headers.get("content-type") != "application/scim+json" or USER not in given.get(
            "schemas", ()
        ):
            return _refuse(400, "This is no SCIM user.", "invalidSyntax")
        if given.get("userName") in {one["userName"] for one in self.users.values()}:
            return _refuse(409, "User already exists in the database.", "uniqueness")
        key = f"{next(self._numbers):08x}"
        self.users[key] = {**given, "id": key, "meta": {"version": 'W/"1"'}}
        return _reply(201, self.users[key])

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
        return _reply(200, user)


def _reply(status: int, user: dict[str, Any]) -> Reply:
    return Reply(status, user, {"ETag": user["meta"]["version"]})


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
