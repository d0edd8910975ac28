"""Vendors' GraphQL and method-call APIs, as their documentation describes them."""

import re
from itertools import count
from typing import Any

from tests.support.http.servers import Reply, SeenRequest


class GraphqlVendor:
    """Customers over one address. `live` holds those that exist, in the vendor's words."""

    path = ""

    def __init__(self) -> None:
        self.numbers = count(101)
        self.live: dict[str, dict[str, Any]] = {}

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if (seen.method, seen.path) != ("POST", self.path):
            return Reply(404, raw=b"<h1>Not found</h1>")
        document = seen.json()
        query, variables = document["query"], document.get("variables") or {}
        # Variables that the query does not declare are refused, and so are declared ones that are not there.
        declared = set(re.findall(r"\$(\w+):", query))
        if declared != set(variables):
            return self.refuse(f"Variables {sorted(declared)} were expected.", "GRAPHQL_VALIDATION_FAILED")
        field = re.search(r"\{\s*(\w+)", query)
        name = field[1] if field else ""
        if refusal := self.check_access(seen, name):
            return refusal
        handler = getattr(self, f"_{name}", None)
        if handler is None:
            return self.refuse(f"Field '{name}' doesn't exist.", "undefinedField")
        return handler(variables)  # type: ignore[no-any-return]

    def check_access(self, seen: SeenRequest, name: str) -> Reply | None:
        raise NotImplementedError

    def refuse(self, message: str, code: str) -> Reply:
        return Reply(200, {"errors": [{"message": message, "extensions": {"code": code}}]})

    def has_address(self, name: str, address: Any, own_key: str | None) -> bool:
        """Return True if another customer has an address."""
        return any(one.get(name) == address for key, one in self.live.items() if address and key != own_key)


class Shopify(GraphqlVendor):
    """The Admin API. Errors of data are `userErrors` without a code."""

    path = "/admin/api/2026-04/graphql.json"

    def check_access(self, seen: SeenRequest, name: str) -> Reply | None:
        if seen.headers.get("x-shopify-access-token") == "s3cret-token":
            return None
        sentence = "[API] Invalid API key or access token (unrecognized login or wrong password)"
        return Reply(401, {"errors": sentence})

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a customer and return it."""
        key = f"gid://shopify/Customer/{next(self.numbers)}"
        self.live[key] = {"id": key, **fields}
        return self.live[key]

    def _customer(self, variables: dict[str, Any]) -> Reply:
        customer = self.live.get(variables["id"])
        return Reply(200, {"data": {"customer": customer and self._show(customer)}})

    def _customers(self, variables: dict[str, Any]) -> Reply:
        found = list(self.live.values())
        if "query" in variables:
            match = re.fullmatch(r'email:"((?:[^"\\]|\\.)*)"', variables["query"])
            assert match is not None, "the filter is not one that Shopify reads"
            found = [one for one in found if one.get("email") == re.sub(r"\\(.)", r"\1", match[1])]
        return Reply(200, {"data": {"customers": {"nodes": [self._show(one) for one in found]}}})

    def _customerCreate(self, variables: dict[str, Any]) -> Reply:
        given = variables["input"]
        if self.has_address("email", given.get("email"), None):
            return self._taken("customerCreate")
        return self._payload("customerCreate", customer=self._show(self.add(**given)))

    def _customerUpdate(self, variables: dict[str, Any]) -> Reply:
        given = dict(variables["input"])
        customer = self.live.get(given.pop("id"))
        if customer is None:
            return self._payload("customerUpdate", "Customer does not exist", customer=None)
        if self.has_address("email", given.get("email"), customer["id"]):
            return self._taken("customerUpdate")
        customer.update(given)
        return self._payload("customerUpdate", customer=self._show(customer))

    def _customerDelete(self, variables: dict[str, Any]) -> Reply:
        gone = self.live.pop(variables["input"]["id"], None)
        sentence = None if gone else "Customer can't be found"
        return self._payload("customerDelete", sentence, deletedCustomerId=gone and gone["id"])

    def _taken(self, name: str) -> Reply:
        return self._payload(name, "Email has already been taken", customer=None)

    def _payload(self, name: str, sentence: str | None = None, **fields: Any) -> Reply:
        errors = [{"field": ["email"], "message": sentence}] if sentence else []
        return Reply(200, {"data": {name: {**fields, "userErrors": errors}}})

    def _show(self, customer: dict[str, Any]) -> dict[str, Any]:
        shown = {"firstName": None, "lastName": None, "note": None, **customer}
        shown["defaultEmailAddress"] = {"emailAddress": shown.pop("email", None)}
        return shown


class Vendure(GraphqlVendor):
    """The admin API. A log-in gives a token in a header; without it, everything is forbidden."""

    path = "/admin-api"

    def answer(self, seen: SeenRequest) -> Reply:
        document = seen.json() if seen.path == self.path else {"query": ""}
        if "login(" not in document["query"]:
            return super().answer(seen)
        if document["variables"] != {"user": "hub", "password": "s3cret"}:
            sentence = "The provided credentials are invalid"
            login = {
                "__typename": "InvalidCredentialsError",
                "errorCode": "INVALID_CREDENTIALS_ERROR",
                "message": sentence,
            }
            return Reply(200, {"data": {"login": login}})
        return Reply(
            200, {"data": {"login": {"__typename": "CurrentUser"}}}, {"vendure-auth-token": "vendure-token-1"}
        )

    def check_access(self, seen: SeenRequest, name: str) -> Reply | None:
        if seen.headers.get("authorization") == "Bearer vendure-token-1":
            return None
        return self.refuse("You are not currently authorized to perform this action", "FORBIDDEN")

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a customer and return it."""
        key = str(next(self.numbers))
        self.live[key] = {"id": key, "customFields": {"externalId": None}, **fields}
        return self.live[key]

    def _customer(self, variables: dict[str, Any]) -> Reply:
        return Reply(200, {"data": {"customer": self.live.get(variables["id"])}})

    def _customers(self, variables: dict[str, Any]) -> Reply:
        value = variables.get("value")
        found = [one for one in self.live.values() if value in (None, one["customFields"]["externalId"])]
        return Reply(200, {"data": {"customers": {"items": found}}})

    def _customerGroups(self, variables: dict[str, Any]) -> Reply:
        return Reply(200, {"data": {"customerGroups": {"items": []}}})

    def _createCustomer(self, variables: dict[str, Any]) -> Reply:
        return self._write("createCustomer", variables["input"], None)

    def _updateCustomer(self, variables: dict[str, Any]) -> Reply:
        given = dict(variables["input"])
        key = given.pop("id")
        if key not in self.live:
            return self.refuse(f"No Customer with the id {key} could be found", "ENTITY_NOT_FOUND")
        return self._write("updateCustomer", given, key)

    def _deleteCustomer(self, variables: dict[str, Any]) -> Reply:
        if self.live.pop(variables["id"], None) is None:
            return self.refuse("No Customer could be found", "ENTITY_NOT_FOUND")
        return Reply(200, {"data": {"deleteCustomer": {"result": "DELETED", "message": None}}})

    def _write(self, name: str, given: dict[str, Any], key: str | None) -> Reply:
        if self.has_address("emailAddress", given.get("emailAddress"), key):
            error = {
                "errorCode": "EMAIL_ADDRESS_CONFLICT_ERROR",
                "message": "The email address is not available.",
            }
            return Reply(200, {"data": {name: error}})
        customer = self.add(**given) if key is None else self.live[key]
        customer.update(given)
        return Reply(200, {"data": {name: customer}})


class Odoo:
    """Partners by the JSON-2 API: a method in the path, arguments by name, and false for an empty field."""

    unique = "email"

    def __init__(self) -> None:
        self.numbers = count(101)
        self.live: dict[str, dict[str, Any]] = {}

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if seen.headers.get("authorization", "").lower() != "bearer s3cret-token":
            return _odoo_error(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")
        match = re.fullmatch(r"/json/2/res\.partner/(search_read|create|write|unlink)", seen.path)
        if seen.method != "POST" or match is None:
            return _odoo_error(
                404, "werkzeug.exceptions.NotFound", "Did you mean POST /json/2/<model>/<method>?"
            )
        try:
            return getattr(self, f"_{match[1]}")(**seen.json())  # type: ignore[no-any-return]
        except TypeError as error:
            return _odoo_error(422, "werkzeug.exceptions.UnprocessableEntity", str(error))

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a partner and return it."""
        number = next(self.numbers)
        self.live[str(number)] = {"id": number, "active": True, **fields}
        return self.live[str(number)]

    def _search_read(self, domain: list[Any], fields: list[str], limit: int) -> Reply:
        found = list(self.live.values())
        if not any(name == "active" for name, _, _ in domain):
            found = [one for one in found if one["active"]]
        for name, operator, value in domain:
            assert operator in ("=", "in")
            found = [one for one in found if one.get(name) in (value if operator == "in" else [value])]
        # An empty field is false.
        return Reply(
            200,
            [{"id": one["id"]} | {name: one.get(name) or False for name in fields} for one in found[:limit]],
        )

    def _create(self, vals_list: list[dict[str, Any]]) -> Reply:
        [values] = vals_list
        return self._check(values, None) or Reply(200, [self.add(**values)["id"]])

    def _write(self, ids: list[int], vals: dict[str, Any]) -> Reply:
        [number] = ids
        if str(number) not in self.live:
            return _odoo_error(
                404, "odoo.exceptions.MissingError", "Record does not exist or has been deleted."
            )
        if refusal := self._check(vals, number):
            return refusal
        self.live[str(number)].update(vals)
        return Reply(200, True)

    def _unlink(self, ids: list[int]) -> Reply:
        for number in ids:
            del self.live[str(number)]
        return Reply(200, True)

    def _check(self, values: dict[str, Any], own_id: int | None) -> Reply | None:
        """Refuse an address that another partner has, as a database with such a constraint does."""
        others = [one for one in self.live.values() if one["id"] != own_id]
        if any(values.get("email") and one.get("email") == values["email"] for one in others):
            return _odoo_error(
                422, "odoo.exceptions.ValidationError", "The email of a contact must be unique."
            )
        return None


def _odoo_error(status: int, name: str, message: str) -> Reply:
    return Reply(
        status, {"name": name, "message": message, "arguments": [message], "context": {}, "debug": ""}
    )


class Tryton:
    """Parties by REST: reads by a call of `search_read`, writes by id. Archived ones are not found by default."""

    def __init__(self) -> None:
        self.numbers = count(101)
        self.live: dict[str, dict[str, Any]] = {}

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if seen.headers.get("authorization") != "Bearer s3cret-token":
            return Reply(401, raw=b"<h1>Unauthorized</h1>")
        if seen.path == "/party.party/search_read" and seen.method == "POST":
            return self._search_read(**seen.json())
        if seen.path == "/party.party" and seen.method == "POST":
            return self._create(seen.json())
        match = re.fullmatch(r"/party\.party/(\d+)", seen.path)
        if match is None or match[1] not in self.live:
            return Reply(404, {"message": "Not found"})
        if seen.method == "DELETE":
            del self.live[match[1]]
            return Reply(204)
        if seen.method != "PUT":
            return Reply(405)
        self._store(self.live[match[1]], seen.json())
        return Reply(200, {"id": int(match[1])})

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a party and return it."""
        number = next(self.numbers)
        self.live[str(number)] = {"id": number, "active": True, "contact_mechanisms.": []}
        self._store(self.live[str(number)], fields)
        return self.live[str(number)]

    def _search_read(self, domain: list[Any], fields_names: list[str], limit: int) -> Reply:
        found = list(self.live.values())
        if not any(name == "active" for name, _, _ in domain):
            found = [one for one in found if one["active"]]
        for name, operator, value in domain:
            found = [one for one in found if one.get(name) in (value if operator == "in" else [value])]
        return Reply(200, found[:limit])

    def _create(self, values: dict[str, Any]) -> Reply:
        if any(one["code"] == values["code"] for one in self.live.values()):
            return Reply(400, {"message": "The code on party must be unique."})
        return Reply(201, {"id": self.add(**values)["id"]})

    def _store(self, party: dict[str, Any], values: dict[str, Any]) -> None:
        given = dict(values)
        for verb, *arguments in given.pop("contact_mechanisms", []):
            mechanisms = party["contact_mechanisms."]
            if verb == "create":
                mechanisms.extend({"id": next(self.numbers), **one} for one in arguments[0])
            else:
                assert verb == "write", verb
                for one in mechanisms:
                    one.update(arguments[1] if one["id"] in arguments[0] else {})
        party.update(given)
