"""The shop's JSON API."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sandbox.base.collections import CollectionApi, page_bounds
from sandbox.base.service import Service
from sandbox.base.store import Record
from sandbox.http.messages import Answer, Problem, Request
from sandbox.http.router import Router
from sandbox.shop.auth import Access
from sandbox.shop.idempotency import once
from sandbox.shop.pages import add_shop_pages
from sandbox.shop.records import Catalogue
from sandbox.shop.schema import SCHEMAS

LARGEST_PAGE = 100


class ShopService(Service):
    """Kauppa. ``token`` is the one secret of its API; an OAuth2 client shows it as ``client_secret``."""

    name = "shop"
    title = "Kauppa"
    collections = tuple(SCHEMAS)
    navigation = (
        ("/customers", "Customers"),
        ("/segments", "Segments"),
        ("/documents", "Documents"),
        ("/journal", "Journal"),
        ("/faults", "Faults"),
    )
    indexed = {
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
        self.access = Access(token, client_id, token_seconds)
        super().__init__(host=host, port=port, data=data)
        self._routes = Router(("POST", "/oauth/token", self.access.issue_token))
        for collection in self.collections:
            ShopApi(self.catalogue).add_routes(self._routes, collection, f"/api/{collection}")
        add_shop_pages(self.page_routes, self.pages, self.store, self.requests)

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.store)

    def seed(self) -> None:
        self.catalogue.seed()

    def call(self, request: Request) -> Answer:
        if not request.path.startswith("/oauth/"):
            self.access.require(request)
        return once(self.store, request, lambda: self._answer(request))

    def _answer(self, request: Request) -> Answer:
        try:
            return self._routes.answer(request)
        except Problem as problem:
            return self.explain(problem)

    def explain(self, problem: Problem) -> Answer:
        content: dict[str, Any] = {"message": problem.sentence}
        if problem.errors:
            content["errors"] = [
                {"field": each.field, "code": each.code, "message": each.message} for each in problem.errors
            ]
        return Answer.of_json(problem.status, content, problem.headers)

    def entity_of(self, request: Request) -> dict[str, Any] | None:
        match request.path.strip("/").split("/"):
            case ["api", collection, key] if collection in self.collections:
                known = self.store.get(collection, unquote(key)) or {}
                return _entity(
                    collection, known.get("id", unquote(key)), known.get("external_id") or _sent(request)
                )
            case ["api", collection] if collection in self.collections:
                return _entity(collection, None, request.query.get("external_id") or _sent(request))
        return None


def _entity(collection: str, key: object, external_id: object) -> dict[str, Any]:
    return {"collection": collection, "id": key, "external_id": external_id}


def _sent(request: Request) -> object:
    """The external id in the body, where there is one."""
    try:
        return request.json_object().get("external_id") if request.body else None
    except Problem:
        return None


class ShopApi(CollectionApi):
    """The shop's collections below ``/api``."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(catalogue)
        self._catalogue = catalogue

    def read_page(self, collection: str, request: Request) -> Answer:
        offset, limit = page_bounds(request, "offset", "limit", LARGEST_PAGE, LARGEST_PAGE)
        filters = {name: value for name, value in request.query.items() if name not in ("offset", "limit")}
        items, total = self._catalogue.search(collection, filters, offset, limit)
        return Answer.of_json(200, {"items": items, "total": total})

    def written(self, collection: str, request: Request, event_type: str, record: Record) -> dict[str, str]:
        return {"Location": f"/api/{collection}/{record['id']}"} if event_type == "CREATE" else {}
