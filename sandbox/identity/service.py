"""The identity service's JSON API."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sandbox.base.collections import CollectionApi, page_bounds
from sandbox.base.service import Service
from sandbox.base.store import Record
from sandbox.http.credentials import authorization, basic_credentials, is_same_secret
from sandbox.http.messages import Answer, Problem, Request
from sandbox.http.router import Router
from sandbox.identity.entities import ENTITY_TYPES, Directory
from sandbox.identity.pages import add_identity_pages
from sandbox.identity.webhook import Delivered, Webhook, parse_webhook
from sandbox.identity.webhook_sender import Sender

DEFAULT_PAGE, LARGEST_PAGE = 100, 500

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
        scheme, value = authorization(request)
        token = basic_credentials(value)[1] if scheme == "basic" else value
        if scheme not in {"bearer", "basic"} or not is_same_secret(token, self.token):
            raise Problem(401, "The token is missing or wrong.", headers={"WWW-Authenticate": "Bearer"})

    def _api_routes(self) -> Router:
        routes = Router(("POST", "/api/notify", self._notify))
        api = IdentityApi(self)
        for collection, bases in _BASES.items():
            for base in bases:
                api.add_routes(routes, collection, base)
        return routes

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


class IdentityApi(CollectionApi):
    """The collections of the identity service. A write sends a webhook where that is asked for."""

    def __init__(self, service: IdentityService) -> None:
        super().__init__(service.directory)
        self._store, self._sender = service.store, service.sender

    def read_page(self, collection: str, request: Request) -> Answer:
        """A page as Trivore's management API has it: ``startIndex`` counts from 0."""
        if "filter" in request.query:
            raise Problem(400, "Filters are not supported here.")
        start, limit = page_bounds(request, "startIndex", "count", DEFAULT_PAGE, LARGEST_PAGE)
        resources = self._store.all(collection, start, limit)
        content = {
            "resources": resources,
            "totalResults": self._store.count(collection),
            "startIndex": start,
            "itemsPerPage": len(resources),
        }
        return Answer.of_json(200, content)

    def written(self, collection: str, request: Request, event_type: str, record: Record) -> dict[str, str]:
        wanted = request.query.get("notify", "1" if self._sender.settings.automatic else "0")
        if wanted != "1":
            return {}
        return _outcome_headers(
            self._sender.send(Webhook(ENTITY_TYPES[collection], record["id"], event_type))
        )


def _outcome_headers(delivered: Delivered) -> dict[str, str]:
    """What the hub said, beside the entity: ``none`` where it gave no answer."""
    return {"X-Webhook-Number": str(delivered.number), "X-Webhook-Status": str(delivered.status or "none")}
