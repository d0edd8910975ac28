"""A biller whose API takes forms with nested names, answers in JSON, and keeps what it deleted as a stub."""

import re
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from tests.support.http.servers import Reply, SeenRequest

TOKEN = "s3cret-token"
_PATH = re.compile(r"/v1/customers(?:/([^/]+))?")


class FormBiller:
    """Customers, which may have a reference in their metadata. A repeated idempotency key repeats the answer."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._answers: dict[str, Reply] = {}
        self.customers: dict[str, dict[str, Any]] = {}
        self.forms: list[list[tuple[str, str]]] = []
        # Addresses that it takes for invalid.
        self.refused_addresses: set[str] = set()

    @property
    def live(self) -> dict[str, dict[str, Any]]:
        """Return the customers that are not deleted, by id."""
        return {key: one for key, one in self.customers.items() if not one.get("deleted")}

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return _refuse(401, "Invalid API Key provided.", "api_key_invalid")
        match = _PATH.fullmatch(seen.path)
        if match is None:
            return _refuse(404, "Unrecognized request URL.", "url_invalid")
        if seen.method == "POST":
            key = seen.headers.get("idempotency-key", "")
            if key in self._answers:
                return self._answers[key]
            reply = self._write(seen, match[1])
            self._answers |= {key: reply} if key else {}
            return reply
        if match[1] is None:
            return self._list(seen)
        customer = self.customers.get(match[1])
        if customer is None:
            return _refuse(404, f"No such customer: '{match[1]}'", "resource_missing")
        if seen.method == "DELETE":
            # A stub remains, as an invoice may refer to it.
            self.customers[match[1]] = {"id": match[1], "deleted": True}
        return Reply(200, self.customers[match[1]])

    def _list(self, seen: SeenRequest) -> Reply:
        rows = [one for one in self.customers.values() if not one.get("deleted")]
        email = seen.query.get("email")
        return Reply(200, {"data": [one for one in rows if email is None or one.get("email") == email]})

    def _write(self, seen: SeenRequest, key: str | None) -> Reply:
        if seen.headers.get("content-type") != "application/x-www-form-urlencoded":
            return _refuse(400, "Use a form, not JSON.", "parameter_invalid")
        form = parse_qsl(seen.body.decode(), keep_blank_values=True, strict_parsing=True)
        self.forms.append(form)
        if key is None:
            key = f"cus_{next(self._numbers)}"
            self.customers[key] = {"id": key, "metadata": {}}
        elif self.customers.get(key, {"deleted": True}).get("deleted"):
            return _refuse(404, f"No such customer: '{key}'", "resource_missing")
        for name, text in form:
            if name == "email" and ("@" not in text or text in self.refused_addresses):
                return _refuse(400, f"Invalid email address: {text}", "email_invalid", "email")
            _store(self.customers[key], name, text)
        return Reply(200, self.customers[key])


def _store(customer: dict[str, Any], name: str, text: str) -> None:
    *outer, last = re.findall(r"[^\[\]]+", name)
    for part in outer:
        customer = customer.setdefault(part, {})
    customer[last] = text or None


def _refuse(status: int, message: str, code: str, param: str | None = None) -> Reply:
    return Reply(status, {"error": {"message": message, "code": code, "param": param}})


def settings() -> dict[str, Any]:
    """Return the settings of a connection to the biller: shorthand, but for what is written as a form."""
    write = {"method": "POST", "encoding": "form"}
    return {
        "entities": {
            "USER": {
                "collection": "/v1/customers",
                "item": "/v1/customers/{id}",
                "search": {
                    "path": "/v1/customers",
                    "query": {"{field}": "{value}"},
                    "results": "data",
                    "fields": ["email"],
                },
                "list": {"path": "/v1/customers", "query": {"limit": "5"}, "results": "data"},
                "operations": {
                    "get": {
                        "path": "/v1/customers/{id}",
                        "answers": [{"status": 200, "when": "body.deleted", "means": "absent"}],
                    },
                    "create": {**write, "path": "/v1/customers"},
                    "update": {**write, "path": "/v1/customers/{id}"},
                },
            }
        },
        "idempotency_header": "Idempotency-Key",
        "error": {
            "sentence": "error.message",
            "fields": "[error][?param].{field: param, code: code, detail: message}",
        },
    }
