"""A system of contacts with several addresses each, whose search finds similar addresses."""

from copy import deepcopy
from itertools import count
from typing import Any

from tests.support.http.connectors import make_operations
from tests.support.http.servers import Reply, SeenRequest

TOKEN = "s3cret-token"
_TEXTS = {"external_id", "email", "first_name", "last_name", "phone", "language"}
_SEARCHED = {"external_id": ("external_id", "former_ids"), "email": ("email", "other_emails")}


class ContactBook:
    """Contacts with a main address in `email`, and further ones in `other_emails`, of which a write says nothing. Two
    contacts may have one address.
    """

    def __init__(self) -> None:
        self._numbers = count(101)
        self.live: dict[str, dict[str, Any]] = {}
        self.bodies: list[dict[str, Any]] = []
        self._indexed: list[dict[str, Any]] | None = None

    def freeze_search(self) -> None:
        """Let searches see the contacts as they are now, whatever happens to them afterwards."""
        self._indexed = deepcopy(list(self.live.values()))

    def add(self, email: str, *other_emails: str, **fields: Any) -> dict[str, Any]:
        """Add a contact and return it."""
        return self._add({"email": email, **fields}, list(other_emails))

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply(401, {"message": "Invalid credentials"})
        if seen.path == "/contacts":
            return self._create(seen) if seen.method == "POST" else self._search(seen.query)
        contact = self.live.get(seen.path.removeprefix("/contacts/"))
        if contact is None:
            return Reply(404, {"message": "Not found"})
        if seen.method == "PATCH":
            if refusal := self._refuse(seen.json()):
                return refusal
            contact.update(seen.json())
        return Reply(200, contact)

    def _add(self, fields: dict[str, Any], other_emails: list[str]) -> dict[str, Any]:
        key = next(self._numbers)
        empty = {"external_id": None, "former_ids": [], "notes": None}
        self.live[str(key)] = {"id": key, **empty, **fields, "other_emails": other_emails}
        return self.live[str(key)]

    def _create(self, seen: SeenRequest) -> Reply:
        return self._refuse(seen.json()) or Reply(201, self._add(seen.json(), []))

    def _refuse(self, fields: dict[str, Any]) -> Reply | None:
        self.bodies.append(fields)
        for name, value in fields.items():
            if not (isinstance(value, str | None) if name in _TEXTS else name == "active"):
                return Reply(400, {"message": f"{name} is not valid"})
        return None

    def _search(self, query: dict[str, str]) -> Reply:
        if len(query) > 1 or not set(query) <= set(_SEARCHED):
            return Reply(400, {"message": "Unknown filter"})
        found = list(self.live.values()) if self._indexed is None else self._indexed
        for field, value in query.items():
            main, others = _SEARCHED[field]
            text = value.casefold()
            found = [one for one in found if any(text in own for own in _values(one, main, others))]
        return Reply(200, {"contacts": found})


def _values(contact: dict[str, Any], main: str, others: str) -> list[str]:
    return [value.casefold() for value in (contact[main], *contact[others]) if value]


def settings(**search: Any) -> dict[str, Any]:
    """Return the settings of a connection to a contact book, with further settings of its search."""
    searched: dict[str, Any] = {
        "path": "/contacts",
        "query": {"{field}": "{value}"},
        "result": "contacts",
        "fields": ["external_id", "email"],
        "field_values": {"email": "[email, other_emails[]][]"},
    }
    listed = {"path": "/contacts", "result": "contacts"}
    user = make_operations("/contacts", search=searched | search, list=listed)
    return {"entities": {"USER": user}, "caseless": ["email"], "error": {"sentence": "message"}}
