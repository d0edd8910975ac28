"""A shop with a GraphQL API: one address, global ids, and HTTP 200 whatever happens."""

import re
from itertools import count
from typing import Any

from tests.support.http.servers import Reply, SeenRequest

TOKEN = "s3cret-token"
PREFIX = "gid://shop/Customer/"


class GraphqlShop:
    """Customers with an email address that no two of them share. `requests` holds the documents that were sent."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.customers: dict[str, dict[str, Any]] = {}
        self.requests: list[Any] = []
        # So many searches do not find what was made last, and so many updates meet another writer.
        self.search_is_behind = 0
        self.other_writers = 0

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a customer and return it."""
        key = f"{PREFIX}{next(self._numbers)}"
        self.customers[key] = {"id": key, **fields}
        return self.customers[key]

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return _errors("Invalid API key or access token.", "UNAUTHENTICATED")
        if (seen.method, seen.path) != ("POST", "/graphql"):
            return Reply(404, raw=b"<h1>Not found</h1>")
        document = seen.json()
        self.requests.append(document)
        field = re.search(r"\{\s*(\w+)", document["query"])
        handler = getattr(self, f"_{field[1] if field else ''}", None)
        if handler is None:
            return _errors("Syntax error.", "GRAPHQL_PARSE_FAILED")
        return handler(document.get("variables") or {})  # type: ignore[no-any-return]

    def _customer(self, variables: dict[str, Any]) -> Reply:
        return Reply(200, {"data": {"customer": self.customers.get(variables["id"])}})

    def _customers(self, variables: dict[str, Any]) -> Reply:
        found = list(self.customers.values())
        query = variables.get("query")
        if query is not None:
            match = re.fullmatch(r'(\w+):"((?:[^"\\]|\\.)*)"', query)
            if match is None:
                return _errors("Malformed search query.", "BAD_REQUEST")
            value = re.sub(r"\\(.)", r"\1", match[2])
            found = [one for one in found if one.get(match[1]) == value]
        if query is not None and self.search_is_behind:
            self.search_is_behind -= 1
            found = []
        return Reply(200, {"data": {"customers": {"nodes": found}}})

    def _customerCreate(self, variables: dict[str, Any]) -> Reply:
        given = variables["input"]
        if refusal := self._refusal(given, None):
            return _payload("customerCreate", None, refusal)
        return _payload("customerCreate", self.add(**given))

    def _customerUpdate(self, variables: dict[str, Any]) -> Reply:
        given = dict(variables["input"])
        customer = self.customers.get(given.pop("id"))
        if customer is None:
            return _payload("customerUpdate", None, ("id", "Customer does not exist", "NOT_FOUND"))
        if self.other_writers:
            self.other_writers -= 1
            customer["name"] = f"by another writer, {self.other_writers} more"
            return _payload("customerUpdate", None, ("id", "Customer was changed", "CONFLICT"))
        if refusal := self._refusal(given, customer["id"]):
            return _payload("customerUpdate", None, refusal)
        customer.update(given)
        return _payload("customerUpdate", customer)

    def _customerDelete(self, variables: dict[str, Any]) -> Reply:
        if self.customers.pop(variables["id"], None) is None:
            return _payload("customerDelete", None, ("id", "Customer does not exist", "NOT_FOUND"))
        return _payload("customerDelete", {"id": variables["id"]})

    def _refusal(self, given: dict[str, Any], own_id: str | None) -> tuple[str, str, str] | None:
        if "email" in given and "@" not in str(given["email"]):
            return "email", "Email is invalid", "INVALID"
        others = [one for key, one in self.customers.items() if key != own_id]
        if any(one.get("email") == given.get("email") for one in others if given.get("email")):
            return "email", "Email has already been taken", "TAKEN"
        return None


def _payload(name: str, customer: Any, refusal: tuple[str, str, str] | None = None) -> Reply:
    errors = []
    if refusal is not None:
        field, message, code = refusal
        errors = [{"field": ["input", field], "message": message, "code": code}]
    return Reply(200, {"data": {name: {"customer": customer, "userErrors": errors}}})


def _errors(message: str, code: str) -> Reply:
    return Reply(200, {"errors": [{"message": message, "extensions": {"code": code}}]})


_SELECTION = "id email name external_id"


def _operation(query: str, variables: Any, result: str, **more: Any) -> dict[str, Any]:
    body = {"query": query, "variables": variables}
    return {"method": "POST", "path": "/graphql", "body": body, "result": result, **more}


def _variable(expression: str) -> dict[str, str]:
    return {"expression": expression}


def settings() -> dict[str, Any]:
    """Return the settings of a connection to the shop."""
    absent = {
        "status": 200,
        "when": "contains(values(body.data)[].userErrors[].code, 'NOT_FOUND')",
        "means": "absent",
    }
    operations = {
        "get": _operation(
            f"query($id: ID!) {{ customer(id: $id) {{ {_SELECTION} }} }}",
            {"id": _variable("id")},
            "data.customer",
            answers=[{"status": 200, "when": "body.data && body.data.customer == `null`", "means": "absent"}],
        ),
        "search": _operation(
            f"query($query: String) {{ customers(query: $query, first: 10) {{ nodes {{ {_SELECTION} }} }} }}",
            {"query": {"template": "{field}:{value:quoted}"}},
            "data.customers.nodes",
            fields=["external_id", "email"],
        ),
        "create": _operation(
            f"mutation($input: CustomerInput!) {{ customerCreate(input: $input) {{ customer {{ {_SELECTION} }} }} }}",
            {"input": _variable("sent")},
            "data.customerCreate.customer",
        ),
        "update": _operation(
            f"mutation($input: CustomerInput!) {{ customerUpdate(input: $input) {{ customer {{ {_SELECTION} }} }} }}",
            {"input": _variable("merge(sent, {id: id})")},
            "data.customerUpdate.customer",
            answers=[absent],
        ),
        "delete": _operation(
            "mutation($id: ID!) { customerDelete(id: $id) { customer { id } } }",
            {"id": _variable("id")},
            "@",
            answers=[absent],
        ),
        "list": _operation(
            f"{{ customers(first: 5) {{ nodes {{ {_SELECTION} }} }} }}", {}, "data.customers.nodes"
        ),
    }
    return {
        "entities": {"USER": {"operations": operations}},
        "id_characters": "/",
        "answers": [
            {
                "status": 200,
                "when": "body.errors[?extensions.code == 'UNAUTHENTICATED']",
                "means": "credentials",
            },
            {"status": 200, "when": "body.errors", "means": "refused"},
            {
                "status": 200,
                "when": "contains(values(body.data)[].userErrors[].code, 'TAKEN')",
                "means": "exists",
            },
            {
                "status": 200,
                "when": "contains(values(body.data)[].userErrors[].code, 'CONFLICT')",
                "means": "stale",
            },
            {"status": 200, "when": "values(body.data)[].userErrors[]", "means": "refused"},
        ],
        "error": {
            "sentence": "errors[0].message || values(data)[].userErrors[].message | [0]",
            "fields": "values(data)[].userErrors[].{field: field[-1], code: code, detail: message}",
        },
    }
