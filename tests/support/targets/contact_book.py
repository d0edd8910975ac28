"""Systems of contacts with several addresses each: one whose search finds similar addresses, and Pipedrive."""

from copy import deepcopy
from itertools import count
from typing import Any

from tests.support.http.servers import Reply, SeenRequest
from tests.support.targets.rest_vendors import RestVendor

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
        "results": "contacts",
        "fields": ["external_id", "email"],
        "field_values": {"email": "[email, other_emails[]][]"},
    }
    listed = {"path": "/contacts", "results": "contacts"}
    user = {"collection": "/contacts", "item": "/contacts/{id}", "search": searched | search, "list": listed}
    return {"entities": {"USER": user}, "caseless": ["email"], "error": {"sentence": "message"}}


class Pipedrive(RestVendor):
    """Persons of Pipedrive, API v2: a write of `emails` replaces them all, a search names no primary address, and a
    deleted person is still returned by its own path.
    """

    collection = "/api/v2/persons"
    header = "x-api-token"
    authorization = "s3cret-token"

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        is_write = seen.method in ("POST", "PATCH") and seen.headers.get(self.header) == self.authorization
        refusal = self._refuse(seen.json(), is_new=seen.method == "POST") if is_write else None
        return refusal or super().answer(seen)

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a person and return it."""
        return super().add(**{"emails": [], "phones": [], "is_deleted": False, **fields})

    def search(self, seen: SeenRequest) -> Reply | None:
        if seen.path != f"{self.collection}/search":
            return None
        query = dict(seen.query)
        term, limit = query.pop("term").casefold(), int(query.pop("limit"))
        if query != {"fields": "email", "exact_match": "true"}:
            return self._error(400, "Validation failed")
        found = [one for one in self.live.values() if term in [mail.casefold() for mail in addresses(one)]]
        items = [
            {
                "result_score": 0.5,
                "item": {"id": one["id"], "type": "person", "name": one["name"], "emails": addresses(one)},
            }
            for one in found[:limit]
        ]
        return Reply(200, {"success": True, "data": {"items": items}, "additional_data": {}})

    def wrap(self, record: dict[str, Any]) -> Any:
        return {"success": True, "data": record}

    def wrap_list(self, records: list[dict[str, Any]]) -> Any:
        return {"success": True, "data": records, "additional_data": {"next_cursor": None}}

    def delete(self, seen: SeenRequest, key: str) -> Reply:
        super().delete(seen, key)
        return Reply(200, {"success": True, "data": {"id": int(key)}})

    def absent(self, method: str, key: str) -> Reply:
        if method == "GET" and key in self.deleted:
            return Reply(200, self.wrap(self.deleted[key] | {"is_deleted": True}))
        return self._error(404, "Not found")

    def refuse_credentials(self) -> Reply:
        return self._error(401, "unauthorized access")

    def _refuse(self, body: dict[str, Any], *, is_new: bool) -> Reply | None:
        if (is_new or "name" in body) and not (body.get("name") or "").strip():
            return self._error(400, "Name must be given.")
        mails = body.get("emails", [])
        parts = {"value": str, "primary": bool, "label": str}
        if not set(body) <= {"name", "emails"} or not all(
            name in parts and isinstance(value, parts[name]) for mail in mails for name, value in mail.items()
        ):
            return self._error(400, "Validation failed")
        values = [mail["value"].casefold() for mail in mails]
        if len(values) > len(set(values)) or sum(mail.get("primary", False) for mail in mails) > 1:
            return self._error(400, "Validation failed")
        return None

    def _error(self, status: int, sentence: str) -> Reply:
        said = {"error": sentence, "error_info": "Please check developers.pipedrive.com"}
        return Reply(status, {"success": False, **said, "data": None, "additional_data": None})


def addresses(person: dict[str, Any]) -> list[str]:
    """Return the addresses of a person of Pipedrive."""
    return [mail["value"] for mail in person["emails"]]
