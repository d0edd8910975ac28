"""A system that no preset knows: a token in a header of its own, pages of contacts, each contact in an envelope."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tests.support.http.servers import Reply, SeenRequest, serving

TOKEN_HEADER, TOKEN = "X-Nimbus-Token", "nimbus-token-4711-of-the-hub"
_PATH = "/v1/contacts"


@dataclass
class InventedApi:
    """The contacts by id. `url` is the base URL of the running API."""

    url: str = ""
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: list[tuple[str, Any]] = field(default_factory=list)

    def answer(self, request: SeenRequest) -> Reply:
        if request.headers.get(TOKEN_HEADER.lower()) != TOKEN:
            return Reply(401, {"error": "token"})
        key = request.path.removeprefix(_PATH).strip("/")
        if request.method == "GET" and not key:
            return self._find_page(request.query)
        if request.method == "POST" and not key:
            return self._write(str(len(self.contacts) + 1), request, 201)
        if key not in self.contacts:
            return Reply(404, {"error": "unknown"})
        return (
            Reply(200, {"contact": self.contacts[key]})
            if request.method == "GET"
            else self._patch(key, request)
        )

    def _find_page(self, query: dict[str, str]) -> Reply:
        page, size = int(query.pop("page", 1)), int(query.pop("per_page", 2))
        found = [
            one for one in self.contacts.values() if all(str(one.get(name)) == query[name] for name in query)
        ]
        shown = list(islice(found, (page - 1) * size, page * size))
        return Reply(200, {"contacts": shown, "total": len(found), "page": page})

    def _patch(self, key: str, request: SeenRequest) -> Reply:
        return (
            self._write(key, request, 200) if request.method == "PATCH" else Reply(405, {"error": "method"})
        )

    def _write(self, key: str, request: SeenRequest, status: int) -> Reply:
        sent = request.json()
        if set(sent) != {"contact"}:
            return Reply(400, {"error": "envelope"})
        self.written.append((request.method, sent))
        self.contacts[key] = {**self.contacts.get(key, {"id": int(key)}), **sent["contact"]}
        return Reply(status, {"contact": self.contacts[key]})


@contextmanager
def invented_api() -> Iterator[InventedApi]:
    """Run the API."""
    api = InventedApi()
    with serving(api.answer) as service:
        api.url = f"{service.url}/v1"
        yield api
