"""The identity service's JSON API."""

import hmac
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sandbox.base.control_api import whole_number
from sandbox.base.service import Service
from sandbox.base.store import Record
from sandbox.http.messages import Answer, Problem, Request
from sandbox.http.router import Router
from sandbox.identity.entities import ENTITY_TYPES, Directory
from sandbox.identity.pages import add_identity_pages
from sandbox.identity.webhook import Delivered, Webhook, parse_webhook
from sandbox.identity.webhook_sender import Sender

LARGEST_PAGE = 500

_BASES = {
    "users": ("/api/users", "/api/rest/v1/user"),
    "groups": ("/api/groups", "/api/rest/v1/group"),
    "files": ("/api/files",),
}
"""Where each collection is found; the second spelling is that of Trivore's management API."""


class IdentityService(Service):
    """Aurora ID. ``token`` opens its API, as bearer token or as password of Basic.

    Webhooks go to ``signed_url`` or ``unsigned_url`` (by default below ``hub``, an origin); ``secret`` is
    ``whsec_…``. Settings left None are those kept in ``data``, or the defaults of SenderSettings.
    """

    name = "identity"
    title = "Aurora ID"
    collections = tuple(ENTITY_TYPES)
    navigation = (
        ("/users", "People"),
        ("/groups", "Groups"),
        ("/files", "Files"),
        ("/webhooks", "Webhooks"),
        ("/settings", "Settings"),
        ("/journal", "Journal"),
        ("/faults", "Faults"),
    )

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data: Path | None = None,
        token: str = "identity-token",  # noqa: S107 - a stand-in's; `make run` hands over a generated one
        hub: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(host=host, port=port, data=data)
        self.token = token
        if hub:
            settings["signed_url"] = settings.get("signed_url") or f"{hub.rstrip('/')}/webhooks/aurora"
            settings["unsigned_url"] = (
                settings.get("unsigned_url") or f"{hub.rstrip('/')}/webhooks/aurora-unsigned"
            )
        self.sender = Sender(self.store, settings)
        self._routes = self._api_routes()
        for method, path, view in (
            ("GET", "/_sandbox/webhooks", self._list_webhooks),
            ("GET", "/_sandbox/sender", self._read_sender),
            ("PATCH", "/_sandbox/sender", self._change_sender),
        ):
            self.control.add(method, path, view)
        add_identity_pages(self.page_routes, self.pages, self.store, self.directory, self.sender)

    @property
    def directory(self) -> Directory:
        return Directory(self.store)

    def seed(self) -> None:
        self.directory.seed()

    def call(self, request: Request) -> Answer:
        self._require_token(request)
        return self._routes.answer(request)

    def explain(self, problem: Problem) -> Answer:
        content = {"errorMessage": problem.sentence, "statusCode": problem.status}
        return Answer.of_json(problem.status, content, problem.headers)

    def entity_of(self, request: Request) -> dict[str, Any] | None:
        for collection, bases in _BASES.items():
            for base in bases:
                if request.path.rstrip("/") == base:
                    return {"collection": collection, "id": None, "external_id": None}
                if request.path.startswith(base + "/"):
                    key = unquote(request.path.removeprefix(base + "/").rstrip("/"))
                    return {"collection": collection, "id": key, "external_id": None}
        return None

    def _require_token(self, request: Request) -> None:
        scheme, _, value = request.header("Authorization").partition(" ")
        if scheme.lower() == "basic":
            try:
                value = b64decode(value, validate=True).decode().partition(":")[2]
            except ValueError:
                value = ""
        if scheme.lower() not in {"bearer", "basic"} or not hmac.compare_digest(
            value.encode(), self.token.encode()
        ):
            raise Problem(401, "The token is missing or wrong.", headers={"WWW-Authenticate": "Bearer"})

    def _api_routes(self) -> Router:
        routes = Router(("POST", "/api/notify", self._notify))
        for collection, bases in _BASES.items():
            for base in bases:
                self._add_collection(routes, collection, base)
        return routes

    def _add_collection(self, routes: Router, collection: str, base: str) -> None:
        def read_page(request: Request) -> Answer:
            return self._list(request, collection)

        def create(request: Request) -> Answer:
            entity = self.directory.create(collection, request.json_object())
            return self._changed(request, collection, "CREATE", entity, None)

        def read(request: Request, key: str) -> Answer:
            return Answer.of_json(200, self.directory.get(collection, key))

        def change(request: Request, key: str) -> Answer:
            whole = request.method == "PUT"
            before = self.directory.get(collection, key)
            entity = self.directory.change(collection, key, request.json_object(), whole=whole)
            return self._changed(request, collection, "UPDATE", entity, before)

        def delete(request: Request, key: str) -> Answer:
            before = self.directory.get(collection, key)
            self.directory.delete(collection, key)
            return self._changed(request, collection, "DELETE", before, before)

        routes.add("GET", base, read_page)
        routes.add("POST", base, create)
        routes.add("GET", base + "/{}", read)
        routes.add("PATCH", base + "/{}", change)
        routes.add("PUT", base + "/{}", change)
        routes.add("DELETE", base + "/{}", delete)

    def _list(self, request: Request, collection: str) -> Answer:
        """A page as Trivore's management API has it: ``startIndex`` counts from 0."""
        if "filter" in request.query:
            raise Problem(400, "There are no filters here.")
        start = whole_number(request.query.get("startIndex", "0"), "startIndex")
        limit = min(whole_number(request.query.get("count", "100"), "count"), LARGEST_PAGE)
        resources = self.store.all(collection, start, limit)
        return Answer.of_json(
            200,
            {
                "resources": resources,
                "totalResults": self.store.count(collection),
                "startIndex": start,
                "itemsPerPage": len(resources),
            },
        )

    def _changed(
        self, request: Request, collection: str, event_type: str, entity: Record, before: Record | None
    ) -> Answer:
        headers: dict[str, str] = {}
        wanted = request.query.get("notify", "1" if self.sender.settings.automatic else "0")
        if wanted == "1":
            webhook = Webhook(ENTITY_TYPES[collection], entity["id"], event_type)
            headers = _outcome_headers(self.sender.send(webhook))
        if event_type == "DELETE":
            return Answer(204, headers=headers)
        return Answer.of_json(200 if before else 201, entity, headers)

    def _notify(self, request: Request) -> Answer:
        body = request.json_object()
        mode = body.get("source")
        if mode not in {None, "signed", "unsigned"}:
            raise Problem(400, "source must be signed or unsigned.")
        language = body.get("language")
        delivered = self.sender.send(
            parse_webhook(body),
            None if mode is None else str(mode),
            None if language is None else str(language),
        )
        return Answer.of_json(200, delivered.as_json())

    def notify(self, entity_type: str, key: str, event_type: str = "UPDATE", **members: Any) -> Delivered:
        """Sends one webhook now; ``members`` are those of ``POST /api/notify``."""
        mode, language = members.pop("source", None), members.pop("language", None)
        body: Mapping[str, Any] = {"entityType": entity_type, "id": key, "eventType": event_type, **members}
        return self.sender.send(parse_webhook(body), mode, language)

    def _list_webhooks(self, request: Request) -> Answer:
        return Answer.of_json(200, {"webhooks": [each.as_json() for each in self.sender.log()]})

    def _read_sender(self, request: Request) -> Answer:
        return Answer.of_json(200, self.sender.settings.as_json())

    def _change_sender(self, request: Request) -> Answer:
        return Answer.of_json(200, self.sender.configure(request.json_object()).as_json())


def _outcome_headers(delivered: Delivered) -> dict[str, str]:
    """What the hub said, beside the entity: ``none`` where it gave no answer."""
    return {"X-Webhook-Number": str(delivered.number), "X-Webhook-Status": str(delivered.status or "none")}
