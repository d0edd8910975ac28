"""Vendors' OData APIs, as their documentation describes them: keys in parentheses, filters, and errors with a code."""

import re
import uuid
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, unquote

from tests.support.http.servers import Reply, SeenRequest
from tests.support.targets.rest_vendors import RestVendor


class ODataVendor(RestVendor):
    """Records with their key in parentheses, found by a filter."""

    # The form of a key in a path.
    key = r"\(([^()']+)\)"

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if reply := self.answer_token_request(seen):
            return reply
        if not self.is_known(seen):
            return self.refuse_credentials()
        if seen.path == self.collection:
            return self.create(seen) if seen.method == "POST" else self.list_records(seen)
        match = re.fullmatch(rf"{re.escape(self.collection)}{self.key}", unquote(seen.path))
        if match is None:
            return self.refuse(404, "0x8006088a", f"Resource not found for the segment '{seen.path}'.")
        return self.answer_item(seen, match[1])

    def is_known(self, seen: SeenRequest) -> bool:
        return seen.headers.get("authorization") == self.authorization

    def answer_item(self, seen: SeenRequest, key: str) -> Reply:
        if key not in self.live:
            return self.absent(seen.method, key)
        if seen.method == "GET":
            return Reply(200, self.show(key, seen))
        if seen.method == "DELETE":
            return self.delete(seen, key)
        if seen.method != "PATCH":
            return Reply(405)
        if refusal := self.find_duplicate(seen.json(), key):
            return self.refuse_duplicate(*refusal, is_new=False)
        self.live[key].update(seen.json())
        return self.changed(key, seen)

    def create(self, seen: SeenRequest) -> Reply:
        if refusal := self.find_duplicate(seen.json(), None):
            return self.refuse_duplicate(*refusal, is_new=True)
        made = self.add(**seen.json())
        return Reply(201, self.show(str(made[self.id_field]), seen))

    def list_records(self, seen: SeenRequest) -> Reply:
        found = list(self.live)
        if "$filter" in seen.query:
            match = re.fullmatch(r"(\w+) eq '((?:[^']|'')*)'", seen.query["$filter"])
            if match is None:
                return self.refuse(400, "0x80060888", "Syntax error in the filter")
            value = match[2].replace("''", "'")
            found = [key for key in found if self.live[key].get(match[1]) == value]
        return Reply(200, {"value": [self.show(key, seen) for key in found[: int(seen.query["$top"])]]})

    def show(self, key: str, seen: SeenRequest) -> dict[str, Any]:
        """Return the fields of a record that are asked for."""
        return {name: self.live[key].get(name) for name in seen.query["$select"].split(",")}

    def changed(self, key: str, seen: SeenRequest) -> Reply:
        return Reply(204)

    def refuse(self, status: int, code: str, message: str) -> Reply:
        return Reply(status, {"error": {"code": code, "message": message}})


class Dataverse(ODataVendor):
    """Contacts with two alternate keys. A write must name the version that it is about."""

    collection = "/api/data/v9.2/contacts"
    id_field = "contactid"
    authorization = "Bearer dataverse-access-token"
    unique = ("new_externalid", "emailaddress1")
    names = {"new_externalid": "External Id", "emailaddress1": "Email"}

    def __init__(self) -> None:
        super().__init__()
        self.versions = count(536530)

    def answer_token_request(self, seen: SeenRequest) -> Reply | None:
        if seen.path != "/TENANT/oauth2/v2.0/token":
            return None
        form = dict(parse_qsl(seen.body.decode()))
        assert form["scope"] == "https://ORG.crm4.dynamics.com/.default"
        if (form["client_id"], form["client_secret"]) != ("hub", "s3cret"):
            sentence = "AADSTS7000215: Invalid client secret provided."
            return Reply(401, {"error": "invalid_client", "error_description": sentence})
        token = self.authorization.removeprefix("Bearer ")
        return Reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3599})

    def new_id(self, fields: dict[str, Any]) -> Any:
        return str(uuid.UUID(int=next(self.numbers)))

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add an active contact and return it."""
        return super().add(**{"statecode": 0, "statuscode": 1, "@odata.etag": self._next_version(), **fields})

    def answer_item(self, seen: SeenRequest, key: str) -> Reply:
        if seen.method in ("PATCH", "DELETE") and key in self.live:
            # Without the header, a PATCH would create what is not there.
            expected = seen.headers["if-match"]
            if expected != self.live[key]["@odata.etag"]:
                sentence = (
                    "The version of the existing record doesn't match the RowVersion property provided."
                )
                return self.refuse(412, "0x80060882", sentence)
        return super().answer_item(seen, key)

    def show(self, key: str, seen: SeenRequest) -> dict[str, Any]:
        return super().show(key, seen) | {"@odata.etag": self.live[key]["@odata.etag"]}

    def create(self, seen: SeenRequest) -> Reply:
        reply = super().create(seen)
        return reply if "prefer" in seen.headers or reply.status != 201 else Reply(204)

    def changed(self, key: str, seen: SeenRequest) -> Reply:
        self.live[key]["@odata.etag"] = self._next_version()
        return Reply(200, self.show(key, seen)) if "prefer" in seen.headers else Reply(204)

    def absent(self, method: str, key: str) -> Reply:
        return self.refuse(404, "0x80040217", f"Entity 'contact' With Id = {key} Does Not Exist")

    def refuse_credentials(self) -> Reply:
        return Reply(401, raw=b"")

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        sentence = (
            f"Entity Key {self.names[name]} Key violated. A record with the same value for {self.names[name]} already "
            "exists. A duplicate record cannot be created. Select one or more unique values and try again."
        )
        return self.refuse(412, "0x80060892", sentence)

    def _next_version(self) -> str:
        return f'W/"{next(self.versions)}"'


class BusinessOne(ODataVendor):
    """Business partners of the Service Layer, behind a log-in with two cookies. A change is answered with nothing."""

    collection = "/b1s/v2/BusinessPartners"
    id_field = "CardCode"
    key = r"\('([^']+)'\)"
    unique = ("CardCode",)

    def answer_token_request(self, seen: SeenRequest) -> Reply | None:
        if seen.path != "/b1s/v2/Login":
            return None
        expected = {"CompanyDB": "COMPANY_DB", "UserName": "hub", "Password": "s3cret"}
        if seen.json() != expected:
            return self.refuse(401, "100000027", "Login failed")
        session = {"SessionId": "b1-session-1", "Version": "1000290", "SessionTimeout": 30}
        # As the hub reads repeated headers.
        cookies = "B1SESSION=b1-session-1; HttpOnly; SameSite=None, ROUTEID=.node1; path=/b1s"
        return Reply(200, session, {"Set-Cookie": cookies})

    def is_known(self, seen: SeenRequest) -> bool:
        cookies = set(seen.headers.get("cookie", "").split("; "))
        return cookies == {"B1SESSION=b1-session-1", "ROUTEID=.node1"}

    def new_id(self, fields: dict[str, Any]) -> Any:
        return fields.get("CardCode") or f"C{next(self.numbers):05}"

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a business partner and return it."""
        return super().add(**{"Valid": "tYES", "Frozen": "tNO", **fields})

    def show(self, key: str, seen: SeenRequest) -> dict[str, Any]:
        return super().show(key, seen) if "$select" in seen.query else dict(self.live[key])

    def absent(self, method: str, key: str) -> Reply:
        return self.refuse(404, "-2028", "No matching records found (ODBC -2028)")

    def refuse_credentials(self) -> Reply:
        return self.refuse(401, "301", "Invalid session or session already timeout.")

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        sentence = (
            f"1320000140 - Business partner code '{value}' already assigned to a business partner; enter a unique "
            "business partner code"
        )
        return self.refuse(400, "-10", sentence)
