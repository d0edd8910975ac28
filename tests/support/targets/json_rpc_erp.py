"""An ERP with a JSON-RPC API: one address, ids that are numbers, and HTTP 200 with an error in the body."""

from itertools import count
from typing import Any

from tests.support.http.servers import Reply, SeenRequest

TOKEN = "s3cret-token"


class JsonRpcErp:
    """Parties with a code that no two of them share, each with an address in a record of its own."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.models: dict[str, dict[int, dict[str, Any]]] = {"party.party": {}, "party.address": {}}
        self.calls: list[tuple[str, list[Any]]] = []

    @property
    def parties(self) -> dict[int, dict[str, Any]]:
        return self.models["party.party"]

    @property
    def addresses(self) -> dict[int, dict[str, Any]]:
        return self.models["party.address"]

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply(401, raw=b"<h1>Unauthorized</h1>")
        if (seen.method, seen.path) != ("POST", "/erp/"):
            return Reply(404, raw=b"<html>404 Not Found</html>")
        document = seen.json()
        name, parameters = document["method"], document["params"]
        self.calls.append((name, parameters))
        model, _, verb = name.removeprefix("model.").rpartition(".")
        if model not in self.models or verb not in ("create", "read", "write", "delete", "search_read"):
            return _error(f"The method {name} is not known.")
        return getattr(self, f"_{verb}")(self.models[model], *parameters)  # type: ignore[no-any-return]

    def _create(self, rows: dict[int, dict[str, Any]], values: dict[str, Any]) -> Reply:
        if refusal := self._refusal(values, None):
            return _error(refusal)
        number = next(self._numbers)
        rows[number] = {"id": number, **values}
        if rows is self.parties:
            address = next(self._numbers)
            self.addresses[address] = {"id": address, "city": ""}
            rows[number]["address"] = address
        return Reply(200, {"id": 1, "result": number})

    def _read(self, rows: dict[int, dict[str, Any]], key: Any) -> Reply:
        # An id that is not there is no error: the list is only shorter.
        return Reply(
            200, {"id": 1, "result": [rows[int(key)]] if str(key).isdigit() and int(key) in rows else []}
        )

    def _write(self, rows: dict[int, dict[str, Any]], key: Any, values: dict[str, Any]) -> Reply:
        if int(key) not in rows:
            return _error("You try to access records that do not exist.")
        if refusal := self._refusal(values, int(key)):
            return _error(refusal)
        rows[int(key)].update(values)
        return Reply(200, {"id": 1, "result": None})

    def _delete(self, rows: dict[int, dict[str, Any]], key: Any) -> Reply:
        if rows.pop(int(key), None) is None:
            return _error("You try to access records that do not exist.")
        return Reply(200, {"id": 1, "result": None})

    def _search_read(self, rows: dict[int, dict[str, Any]], domain: list[list[Any]], limit: int) -> Reply:
        found = [
            row for row in rows.values() if all(str(row.get(name)) == value for name, _, value in domain)
        ]
        return Reply(200, {"id": 1, "result": found[:limit]})

    def _refusal(self, values: dict[str, Any], own_id: int | None) -> str | None:
        others = [row for key, row in self.parties.items() if key != own_id]
        if "code" in values and any(row.get("code") == values["code"] for row in others):
            return "The code of the party must be unique."
        return None


def _error(message: str) -> Reply:
    return Reply(200, {"id": 1, "error": {"type": "UserError", "message": message}})


def _call(method: str, *parameters: Any, **more: Any) -> dict[str, Any]:
    body = {"id": 1, "method": f"model.{method}", "params": list(parameters)}
    return {"method": "POST", "path": "/erp/", "body": body, **more}


def _expression(text: str) -> dict[str, str]:
    return {"expression": text}


def settings() -> dict[str, Any]:
    """Return the settings of a connection to the ERP."""
    identifier = _expression("to_number(id)")
    return {
        "entities": {
            "USER": {
                "operations": {
                    "get": _call(
                        "party.party.read",
                        identifier,
                        result="result[0]",
                        answers=[{"status": 200, "when": "body.result == `[]`", "means": "absent"}],
                    ),
                    "search": _call(
                        "party.party.search_read",
                        [[_expression("field"), "=", _expression("value")]],
                        10,
                        result="result",
                        fields=["code"],
                    ),
                    "create": _call("party.party.create", _expression("sent"), result="{id: result}"),
                    "update": [
                        _call(
                            "party.party.write",
                            identifier,
                            {
                                "name": {"expression": "changed.name", "optional": True},
                                "code": {"expression": "changed.code", "optional": True},
                            },
                            style="body",
                            when="contains(keys(changed), 'name') || contains(keys(changed), 'code')",
                            result="`null`",
                        ),
                        _call(
                            "party.address.write",
                            _expression("raw.address"),
                            {"city": _expression("changed.city")},
                            style="body",
                            when="contains(keys(changed), 'city')",
                            result="`null`",
                        ),
                    ],
                    "delete": _call("party.party.delete", identifier),
                    "list": _call("party.party.search_read", [], 5, result="result"),
                }
            }
        },
        "answers": [
            {"status": 200, "when": "contains(body.error.message, 'must be unique')", "means": "exists"},
            {"status": 200, "when": "contains(body.error.message, 'do not exist')", "means": "absent"},
            {"status": 200, "when": "body.error", "means": "refused"},
        ],
        "error": {"sentence": "error.message"},
    }
