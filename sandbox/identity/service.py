"""The identity service's JSON API."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sandbox.base.collections import CollectionApi, parse_page_bounds
from sandbox.base.service import SandboxService
from sandbox.base.store import Record
from sandbox.http.credentials import is_same_secret, parse_authorization, parse_basic_credentials
from sandbox.http.messages import HttpError, Request, Response
from sandbox.http.router import Router
from sandbox.identity.entities import ENTITY_TYPES, EntityDirectory
from sandbox.identity.pages import add_identity_pages
from sandbox.identity.webhook import SentWebhook, Webhook, parse_webhook
from sandbox.identity.webhook_sender import WebhookSender

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 100, 500
_CHANGED_SINCE = re.compile(r'meta\.lastModified gt "([^"]*)"')

_BASE_PATHS = {
    "users": ("/api/users", "/api/rest/v1/user"),
    "groups": ("/api/groups", "/api/rest/v1/group"),
    "files": ("/api/files",),
}
"""The paths of each collection; the second one is that of Trivore's management API."""


class IdentityService(SandboxService):
    """Aurora ID, the stand-in identity service.

    ``token`` is the secret of its API, as bearer token or as Basic password. Webhooks are sent to ``signed_url`` or
    ``unsigned_url``, by default below ``hub``, an origin. ``secret`` is ``whsec_…``. For a setting that is None, the
    value stored in ``data`` is used, or else the default of SenderSettings.
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
        self.sender = WebhookSender(self.store, settings, self._has_numeric_ids)
        self._routes = self._build_api_router()
        for method, path, view in (
            ("GET", "/_sandbox/webhooks", self._list_webhooks),
            ("GET", "/_sandbox/sender", self._read_sender),
            ("PATCH", "/_sandbox/sender", self._change_sender),
        ):
            self.control_router.add_route(method, path, view)
        add_identity_pages(self.page_router, self.page_renderer, self.store, self.directory, self.sender)

    @property
    def directory(self) -> EntityDirectory:
        """The users, groups and files."""
        return EntityDirectory(self.store, self._has_numeric_ids)

    def _has_numeric_ids(self) -> bool:
        return self.faults.has_active("numeric")

    def seed(self) -> None:
        self.directory.seed()

    def handle_api_request(self, request: Request) -> Response:
        self._require_token(request)
        return self._routes.dispatch(request)

    def build_error_response(self, error: HttpError) -> Response:
        content = {"errorMessage": error.message, "statusCode": error.status}
        return Response.from_json(error.status, content, error.headers)

    def find_entity(self, request: Request) -> dict[str, Any] | None:
        for collection, bases in _BASE_PATHS.items():
            for base in bases:
                if request.path.rstrip("/") == base:
                    return {"collection": collection, "id": None, "external_id": None}
                if request.path.startswith(base + "/"):
                    key = unquote(request.path.removeprefix(base + "/").rstrip("/"))
                    return {"collection": collection, "id": key, "external_id": None}
        return None

    def _require_token(self, request: Request) -> None:
        scheme, value = parse_authorization(request)
        token = parse_basic_credentials(value)[1] if scheme == "basic" else value
        if scheme not in {"bearer", "basic"} or not is_same_secret(token, self.token):
            raise HttpError(401, "The token is missing or wrong.", headers={"WWW-Authenticate": "Bearer"})

    def _build_api_router(self) -> Router:
        routes = Router(("POST", "/api/notify", self._handle_notify))
        api = IdentityApi(self)
        for collection, bases in _BASE_PATHS.items():
            for base in bases:
                api.add_routes(routes, collection, base)
        for base in _BASE_PATHS["users"]:
            routes.add_route("POST", base + "/{}/verify", api.verify_email)
        return routes

    def _handle_notify(self, request: Request) -> Response:
        body = request.parse_json_object()
        mode = body.get("source")
        if mode not in {None, "signed", "unsigned"}:
            raise HttpError(400, "source must be signed or unsigned.")
        language = body.get("language")
        sent = self.sender.send_webhook(
            parse_webhook(body),
            None if mode is None else str(mode),
            None if language is None else str(language),
        )
        return Response.from_json(200, sent.as_json())

    def notify(self, entity_type: str, key: str, event_type: str = "UPDATE", **fields: Any) -> SentWebhook:
        """Send one webhook. ``fields`` are further fields of ``POST /api/notify``."""
        mode, language = fields.pop("source", None), fields.pop("language", None)
        body: Mapping[str, Any] = {"entityType": entity_type, "id": key, "eventType": event_type, **fields}
        return self.sender.send_webhook(parse_webhook(body), mode, language)

    def _list_webhooks(self, request: Request) -> Response:
        return Response.from_json(200, {"webhooks": [sent.as_json() for sent in self.sender.list_sent()]})

    def _read_sender(self, request: Request) -> Response:
        return Response.from_json(200, self.sender.settings.as_json())

    def _change_sender(self, request: Request) -> Response:
        return Response.from_json(200, self.sender.change_settings(request.parse_json_object()).as_json())


class IdentityApi(CollectionApi):
    """The API of the users, groups and files. A write sends a webhook if the request or the settings ask for it."""

    def __init__(self, service: IdentityService) -> None:
        super().__init__(service.directory)
        self._store, self._sender, self._directory = service.store, service.sender, service.directory

    def list_records(self, collection: str, request: Request) -> Response:
        """Return a page in the format of Trivore's management API: ``startIndex`` counts from 0. A ``filter`` may ask
        for what changed after a time.
        """
        is_listed = _parse_filter(request.query.get("filter"))
        start, limit = parse_page_bounds(request, "startIndex", "count", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        resources, total = self._store.read_page(collection, start, limit, is_listed)
        content = {
            "resources": resources,
            "totalResults": total,
            "startIndex": start,
            "itemsPerPage": len(resources),
        }
        return Response.from_json(200, content)

    def verify_email(self, request: Request, key: str) -> Response:
        """Mark an address as verified: the ``address`` of the body, or the user's first one without a body."""
        body = request.parse_json_object() if request.body else {}
        address = body.get("address")
        if not isinstance(address, str | None):
            raise HttpError(400, "address must be a text.")
        user = self._directory.verify_email(key, address)
        return Response.from_json(200, user, self.finish_write("users", request, "UPDATE", user))

    def finish_write(
        self, collection: str, request: Request, event_type: str, record: Record
    ) -> dict[str, str]:
        notify = request.query.get("notify", "1" if self._sender.settings.automatic else "0")
        if notify != "1":
            return {}
        return _build_webhook_headers(
            self._sender.send_webhook(Webhook(ENTITY_TYPES[collection], record["id"], event_type))
        )


def _parse_filter(text: str | None) -> Callable[[Record], bool] | None:
    """Return what a filter ``meta.lastModified gt "TIME"`` accepts. Raises HttpError (400) for any other one."""
    if text is None:
        return None
    found = _CHANGED_SINCE.fullmatch(text)
    try:
        since = datetime.fromisoformat(found[1] if found else "").astimezone(UTC)
    except ValueError:
        raise HttpError(400, 'The only filter supported here is: meta.lastModified gt "TIME".') from None
    return lambda record: datetime.fromisoformat(record["meta"]["lastModified"]) > since


def _build_webhook_headers(sent: SentWebhook) -> dict[str, str]:
    """Return headers with the number of a webhook and the status of its response, ``none`` without a response."""
    return {"X-Webhook-Number": str(sent.number), "X-Webhook-Status": str(sent.status or "none")}
