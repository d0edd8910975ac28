"""The shop's JSON API."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sandbox.base.collections import CollectionApi, parse_page_bounds
from sandbox.base.control_api import parse_whole_number
from sandbox.base.service import SandboxService
from sandbox.base.store import Record
from sandbox.http.messages import HttpError, Request, Response
from sandbox.http.router import Router
from sandbox.shop.auth import AccessControl
from sandbox.shop.drift import drift_customers
from sandbox.shop.idempotency import apply_once
from sandbox.shop.pages import add_shop_pages
from sandbox.shop.records import ShopCatalogue
from sandbox.shop.schema import SCHEMAS
from sandbox.shop.versions import build_etag, require_current_version

MAX_PAGE_SIZE = 100


class ShopService(SandboxService):
    """Kauppa, the stand-in target system.

    ``token`` is the only secret of its API; an OAuth2 client sends it as ``client_secret``. OAuth2 tokens are valid for
    ``token_seconds``.
    """

    name = "shop"
    title = "Kauppa"
    collections = tuple(SCHEMAS)
    navigation = (
        ("/customers", "Customers"),
        ("/segments", "Segments"),
        ("/documents", "Documents"),
        ("/ids", "Numbers"),
        ("/drift", "Drift"),
        ("/journal", "Journal"),
        ("/faults", "Faults"),
    )
    indexed_fields = {
        "customers": ("email", "external_id"),
        "segments": ("name", "external_id"),
        "documents": ("external_id",),
    }

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data: Path | None = None,
        token: str = "shop-token",  # noqa: S107 - a stand-in's; `make run` hands over a generated one
        client_id: str = "hub",
        token_seconds: int = 3600,
    ) -> None:
        self.token, self.client_id = token, client_id
        self.access = AccessControl(token, client_id, token_seconds)
        super().__init__(host=host, port=port, data=data)
        self._routes = Router(("POST", "/oauth/token", self.access.issue_token))
        for collection in self.collections:
            ShopApi(self.catalogue).add_routes(self._routes, collection, f"/api/{collection}")
        self.control_router.add_route("POST", "/_sandbox/drift", self._drift)
        add_shop_pages(self.page_router, self.page_renderer, self.store, self.request_journal)

    @property
    def catalogue(self) -> ShopCatalogue:
        """The customers, segments and documents."""
        return ShopCatalogue(self.store)

    def seed(self) -> None:
        self.catalogue.seed()

    def _drift(self, request: Request) -> Response:
        """Change random customers: ``kind``, ``number`` (default 1) and ``seed`` (default 0) of the body."""
        body = request.parse_json_object()
        number, seed = (
            parse_whole_number(str(body.get(name, default)), name)
            for name, default in (("number", 1), ("seed", 0))
        )
        changes = drift_customers(self.catalogue, str(body.get("kind", "change")), number, seed)
        return Response.from_json(200, {"changed": changes})

    def handle_api_request(self, request: Request) -> Response:
        if not request.path.startswith("/oauth/"):
            self.access.require_credentials(request)
        return apply_once(self.store, request, lambda: self._dispatch_request(request))

    def _dispatch_request(self, request: Request) -> Response:
        """Return the response to a request, errors included, so that a refusal is stored with its key."""
        try:
            return self._routes.dispatch(request)
        except HttpError as error:
            return self.build_error_response(error)

    def build_error_response(self, error: HttpError) -> Response:
        content: dict[str, Any] = {"message": error.message}
        if error.field_errors:
            content["errors"] = [
                {"field": field_error.field, "code": field_error.code, "message": field_error.message}
                for field_error in error.field_errors
            ]
        return Response.from_json(error.status, content, error.headers)

    def find_entity(self, request: Request) -> dict[str, Any] | None:
        match request.path.strip("/").split("/"):
            case ["api", collection, key] if collection in self.collections:
                record = self.store.get_record(collection, unquote(key)) or {}
                return _build_entity(
                    collection,
                    record.get("id", unquote(key)),
                    record.get("external_id") or _read_external_id(request),
                )
            case ["api", collection] if collection in self.collections:
                return _build_entity(
                    collection, None, request.query.get("external_id") or _read_external_id(request)
                )
        return None


def _build_entity(collection: str, key: object, external_id: object) -> dict[str, Any]:
    return {"collection": collection, "id": key, "external_id": external_id}


def _read_external_id(request: Request) -> object:
    """Return the external id in the body of a request; None if it has none."""
    try:
        return request.parse_json_object().get("external_id") if request.body else None
    except HttpError:
        return None


class ShopApi(CollectionApi):
    """The API of the customers, segments and documents. A write may name the version that it changes."""

    def __init__(self, catalogue: ShopCatalogue) -> None:
        super().__init__(catalogue)
        self._catalogue = catalogue

    def list_records(self, collection: str, request: Request) -> Response:
        offset, limit = parse_page_bounds(request, "offset", "limit", MAX_PAGE_SIZE, MAX_PAGE_SIZE)
        filters = {name: value for name, value in request.query.items() if name not in ("offset", "limit")}
        items, total = self._catalogue.search_records(collection, filters, offset, limit)
        return Response.from_json(200, {"items": items, "total": total})

    def finish_write(
        self, collection: str, request: Request, event_type: str, record: Record
    ) -> dict[str, str]:
        location = {"Location": f"/api/{collection}/{record['id']}"} if event_type == "CREATE" else {}
        return location if event_type == "DELETE" else location | {"ETag": build_etag(record)}

    def _read_record(self, collection: str, request: Request, key: str) -> Response:
        record = self._catalogue.get_record(collection, key)
        return Response.from_json(200, record, {"ETag": build_etag(record)})

    def _update_record(self, collection: str, request: Request, key: str) -> Response:
        with self._catalogue.lock:  # nobody changes the record between the check and the write
            require_current_version(request, self._catalogue.get_record(collection, key))
            return super()._update_record(collection, request, key)

    def _delete_record(self, collection: str, request: Request, key: str) -> Response:
        with self._catalogue.lock:
            require_current_version(request, self._catalogue.get_record(collection, key))
            return super()._delete_record(collection, request, key)
