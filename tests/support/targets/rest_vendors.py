"""Vendors' REST APIs, as their documentation describes them: each with its own envelope, search and error sentences."""

import base64
import json
import re
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from tests.support.http.servers import Reply, SeenRequest

TAKEN = "taken@example.com"


class RestVendor:
    """Records by id under one path. `live` holds those that exist; a subclass says how its vendor wraps and refuses."""

    collection = ""
    id_field = "id"
    update_method = "PATCH"
    authorization = "Bearer s3cret-token"
    header = "authorization"
    # The fields that no two records share.
    unique: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.numbers = count(101)
        self.live: dict[str, dict[str, Any]] = {}
        self.deleted: dict[str, dict[str, Any]] = {}

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if reply := self.answer_token_request(seen):
            return reply
        if seen.headers.get(self.header) != self.authorization:
            return self.refuse_credentials()
        if reply := self.search(seen):
            return reply
        if seen.path == self.collection:
            return self.create(seen) if seen.method == "POST" else self.list_records(seen)
        match = re.fullmatch(rf"{re.escape(self.collection)}/([^/]+)", seen.path)
        if match is None:
            return Reply(404, raw=b"<html>No such page</html>")
        key = match[1].replace("%20", " ")
        if key not in self.live:
            return self.absent(seen.method, key)
        if seen.method == "GET":
            return Reply(200, self.wrap(self.live[key]))
        if seen.method == "DELETE":
            return self.delete(seen, key)
        if seen.method != self.update_method:
            return Reply(405)
        changed = self.unwrap(seen.json())
        if refusal := self.find_duplicate(changed, key):
            return self.refuse_duplicate(*refusal, is_new=False)
        self.live[key].update(changed)
        return self.updated(key)

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a record and return it."""
        key = self.new_id(fields)
        self.live[str(key)] = {self.id_field: key, **fields}
        return self.live[str(key)]

    def new_id(self, fields: dict[str, Any]) -> Any:
        return next(self.numbers)

    def create(self, seen: SeenRequest) -> Reply:
        fields = self.unwrap(seen.json())
        if refusal := self.find_duplicate(fields, None):
            return self.refuse_duplicate(*refusal, is_new=True)
        return Reply(201, self.wrap(self.add(**fields)))

    def delete(self, seen: SeenRequest, key: str) -> Reply:
        self.deleted[key] = self.live.pop(key)
        return Reply(204)

    def updated(self, key: str) -> Reply:
        return Reply(200, self.wrap(self.live[key]))

    def list_records(self, seen: SeenRequest) -> Reply:
        return Reply(200, self.wrap_list(list(self.live.values())))

    def find_duplicate(self, fields: dict[str, Any], own_key: str | None) -> tuple[str, str, str] | None:
        """Return field, value and id of the record that has a value already."""
        for key, record in self.live.items():
            for name in self.unique:
                if key != own_key and fields.get(name) and record.get(name) == fields[name]:
                    return name, fields[name], key
        return None

    def find_by(self, name: str, value: str) -> list[dict[str, Any]]:
        return [record for record in self.live.values() if str(record.get(name)) == value]

    def answer_token_request(self, seen: SeenRequest) -> Reply | None:
        return None

    def search(self, seen: SeenRequest) -> Reply | None:
        return None

    def wrap(self, record: dict[str, Any]) -> Any:
        return record

    def unwrap(self, body: Any) -> dict[str, Any]:
        return dict(body)

    def wrap_list(self, records: list[dict[str, Any]]) -> Any:
        return records

    def absent(self, method: str, key: str) -> Reply:
        raise NotImplementedError

    def refuse_credentials(self) -> Reply:
        raise NotImplementedError

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        raise NotImplementedError


class Directus(RestVendor):
    """Items of a collection. What does not exist is forbidden."""

    collection = "/items/customers"
    unique = ("email",)

    def new_id(self, fields: dict[str, Any]) -> Any:
        return fields["id"]

    def search(self, seen: SeenRequest) -> Reply | None:
        if seen.path == "/users/me":
            return Reply(200, {"data": {"id": "hub"}})
        for name, value in seen.query.items():
            if match := re.fullmatch(r"filter\[(\w+)\]\[_eq\]", name):
                return Reply(200, self.wrap_list(self.find_by(match[1], value)))
        return None

    def wrap(self, record: dict[str, Any]) -> Any:
        return {"data": record}

    def wrap_list(self, records: list[dict[str, Any]]) -> Any:
        return {"data": records}

    def absent(self, method: str, key: str) -> Reply:
        # A PATCH of an item that an administrator may change, but that is not there, has no answer.
        return (
            Reply(204)
            if method == "PATCH"
            else self._error(403, "You don't have permission to access this.", "FORBIDDEN")
        )

    def refuse_credentials(self) -> Reply:
        return self._error(401, "Invalid user credentials.", "INVALID_CREDENTIALS")

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        sentence = f'Value "{value}" for field "{name}" in collection "customers" has to be unique.'
        return self._error(400, sentence, "RECORD_NOT_UNIQUE", field=name)

    def _error(self, status: int, message: str, code: str, **more: str) -> Reply:
        return Reply(status, {"errors": [{"message": message, "extensions": {"code": code, **more}}]})


class HubSpot(RestVendor):
    """Contacts with their properties, of which only those that are asked for are returned."""

    collection = "/crm/v3/objects/contacts"
    unique = ("email",)

    def new_id(self, fields: dict[str, Any]) -> Any:
        return str(next(self.numbers))

    def answer(self, seen: SeenRequest) -> Reply:
        self._asked = seen.query.get("properties", "email,firstname,lastname").split(",")
        return super().answer(seen)

    def search(self, seen: SeenRequest) -> Reply | None:
        if seen.path != f"{self.collection}/search":
            return None
        [group] = seen.json()["filterGroups"]
        [condition] = group["filters"]
        assert (seen.method, condition["operator"]) == ("POST", "EQ")
        self._asked = seen.json()["properties"]
        found = self.find_by(condition["propertyName"], condition["value"])
        return Reply(200, {"total": len(found), "results": [self.wrap(one) for one in found]})

    def wrap(self, record: dict[str, Any]) -> Any:
        properties = {name: record.get(name) for name in self._asked} | {"hs_object_id": record["id"]}
        return {"id": record["id"], "properties": properties, "archived": False}

    def unwrap(self, body: Any) -> dict[str, Any]:
        return dict(body["properties"])

    def wrap_list(self, records: list[dict[str, Any]]) -> Any:
        return {"results": [self.wrap(one) for one in records]}

    def absent(self, method: str, key: str) -> Reply:
        return (
            Reply(204) if method == "DELETE" else self._error(404, "resource not found", "OBJECT_NOT_FOUND")
        )

    def refuse_credentials(self) -> Reply:
        return self._error(401, "Authentication credentials not found.", "INVALID_AUTHENTICATION")

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        return self._error(409, f"Contact already exists. Existing ID: {other}", "CONFLICT")

    def _error(self, status: int, message: str, category: str) -> Reply:
        return Reply(status, {"status": "error", "message": message, "category": category})


class ErpNext(RestVendor):
    """Customers whose name is their id. A change by PUT keeps the other fields."""

    collection = "/api/resource/Customer"
    id_field = "name"
    update_method = "PUT"
    authorization = "token key:s3cret"

    def new_id(self, fields: dict[str, Any]) -> Any:
        return fields["customer_name"]

    def create(self, seen: SeenRequest) -> Reply:
        name = seen.json()["customer_name"]
        if name in self.live:
            sentence = f"frappe.exceptions.DuplicateEntryError: ('Customer', '{name}')"
            return self._error(409, "DuplicateEntryError", sentence)
        return Reply(200, self.wrap(self.add(**seen.json())))

    def search(self, seen: SeenRequest) -> Reply | None:
        if "filters" not in seen.query:
            return None
        [[name, operator, value]] = json.loads(seen.query["filters"])
        # Without `fields`, only names are returned.
        assert (operator, seen.query["fields"]) == ("=", '["*"]')
        return Reply(200, {"data": self.find_by(name, value)})

    def wrap(self, record: dict[str, Any]) -> Any:
        return {"data": record}

    def wrap_list(self, records: list[dict[str, Any]]) -> Any:
        return {"data": records}

    def delete(self, seen: SeenRequest, key: str) -> Reply:
        super().delete(seen, key)
        return Reply(202, {"data": "ok"})

    def absent(self, method: str, key: str) -> Reply:
        return self._error(
            404, "DoesNotExistError", f"frappe.exceptions.DoesNotExistError: Customer {key} not found"
        )

    def refuse_credentials(self) -> Reply:
        return self._error(401, "AuthenticationError", "frappe.exceptions.AuthenticationError")

    def _error(self, status: int, kind: str, sentence: str) -> Reply:
        return Reply(status, {"exc_type": kind, "exception": sentence})


class WooCommerce(RestVendor):
    """Customers whose address no other user has. One that is not there is a bad request, but for a GET."""

    collection = "/wp-json/wc/v3/customers"
    update_method = "PUT"
    authorization = "Basic " + base64.b64encode(b"ck_key:cs_s3cret").decode()

    def list_records(self, seen: SeenRequest) -> Reply:
        assert seen.query.get("role") == "all", "without it, only those with the role customer are listed"
        email = seen.query.get("email")
        return Reply(200, [one for one in self.live.values() if email is None or one["email"] == email])

    unique = ("email",)

    def delete(self, seen: SeenRequest, key: str) -> Reply:
        if seen.query.get("force") != "true":
            return self._error(
                501, "woocommerce_rest_trash_not_supported", "Customers do not support trashing."
            )
        return Reply(200, self.live.pop(key))

    def absent(self, method: str, key: str) -> Reply:
        return self._error(
            404 if method == "GET" else 400, "woocommerce_rest_invalid_id", "Invalid resource id."
        )

    def refuse_credentials(self) -> Reply:
        return self._error(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        if is_new:
            sentence = "An account is already registered with your email address. Please log in."
            return self._error(400, "registration-error-email-exists", sentence)
        return self._error(400, "woocommerce_rest_customer_invalid_email", "Email address is invalid.")

    def _error(self, status: int, code: str, message: str) -> Reply:
        return Reply(status, {"code": code, "message": message, "data": {"status": status}})


class Zendesk(RestVendor):
    """Users, of whom a deleted one stays readable."""

    collection = "/api/v2/users"
    update_method = "PUT"
    authorization = "Basic " + base64.b64encode(b"hub@example.com/token:s3cret").decode()
    unique = ("email", "external_id")

    def search(self, seen: SeenRequest) -> Reply | None:
        if seen.path != f"{self.collection}/search":
            return None
        return Reply(200, {"users": self.find_by("external_id", seen.query["external_id"])})

    def wrap(self, record: dict[str, Any]) -> Any:
        return {"user": {"active": True, **record}}

    def unwrap(self, body: Any) -> dict[str, Any]:
        return dict(body["user"])

    def wrap_list(self, records: list[dict[str, Any]]) -> Any:
        return {"users": records}

    def delete(self, seen: SeenRequest, key: str) -> Reply:
        super().delete(seen, key)
        return Reply(200, {"user": {**self.deleted[key], "active": False}})

    def absent(self, method: str, key: str) -> Reply:
        if method == "GET" and key in self.deleted:
            return Reply(200, {"user": {**self.deleted[key], "email": None, "active": False}})
        return Reply(404, {"error": "RecordNotFound", "description": "Not found"})

    def refuse_credentials(self) -> Reply:
        return Reply(401, {"error": "Couldn't authenticate you"})

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        sentence = (
            f"Email: {value} is already being used by another user"
            if name == "email"
            else "External has already been taken"
        )
        details = {name: [{"description": sentence, "error": "DuplicateValue"}]}
        return Reply(
            422, {"error": "RecordInvalid", "description": "Record validation errors", "details": details}
        )


class Salesforce(RestVendor):
    """Contacts, found by SOQL. A creation answers with the id alone, a change with nothing, an error with a list."""

    collection = "/services/data/v63.0/sobjects/Contact"
    id_field = "Id"
    authorization = "Bearer salesforce-access-token"
    unique = ("External_Id__c", "Email")

    def answer_token_request(self, seen: SeenRequest) -> Reply | None:
        if seen.path != "/services/oauth2/token":
            return None
        form = dict(parse_qsl(seen.body.decode()))
        if (form.get("client_id"), form.get("client_secret")) != ("hub", "s3cret"):
            return Reply(400, {"error": "invalid_client", "error_description": "invalid client credentials"})
        token = self.authorization.removeprefix("Bearer ")
        return Reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    def new_id(self, fields: dict[str, Any]) -> Any:
        return f"003xx{next(self.numbers):010}AAA"

    def search(self, seen: SeenRequest) -> Reply | None:
        if not seen.path.endswith("/query"):
            return None
        query = re.fullmatch(
            r"SELECT ([\w, ]+) FROM Contact(?: WHERE (\w+) = '((?:[^'\\]|\\.)*)')? LIMIT \d+", seen.query["q"]
        )
        if query is None:
            return self._error(400, "MALFORMED_QUERY", "unexpected token")
        value = re.sub(r"\\(.)", r"\1", query[3] or "")
        found = self.find_by(query[2], value) if query[2] else list(self.live.values())
        return Reply(200, {"totalSize": len(found), "done": True, "records": found})

    def create(self, seen: SeenRequest) -> Reply:
        reply = super().create(seen)
        if reply.status != 201:
            return reply
        return Reply(201, {"id": reply.value["Id"], "success": True, "errors": []})

    def updated(self, key: str) -> Reply:
        return Reply(204)

    def absent(self, method: str, key: str) -> Reply:
        if key in self.deleted:
            return self._error(404, "ENTITY_IS_DELETED", "entity is deleted")
        return self._error(404, "NOT_FOUND", "The requested resource does not exist")

    def refuse_credentials(self) -> Reply:
        return self._error(401, "INVALID_SESSION_ID", "Session expired or invalid")

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        sentence = f"duplicate value found: {name} duplicates value on record with id: {other}"
        return self._error(400, "DUPLICATE_VALUE", sentence, [name])

    def _error(self, status: int, code: str, message: str, fields: list[str] | None = None) -> Reply:
        return Reply(status, [{"message": message, "errorCode": code, "fields": fields or []}])
