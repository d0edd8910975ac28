"""The pages of the shop, for its staff: customers, segments and documents."""

from sandbox.base.control_api import parse_whole_number
from sandbox.base.control_pages import build_journal_row
from sandbox.base.page_renderer import PageRenderer
from sandbox.base.request_journal import RequestJournal
from sandbox.base.store import RecordStore
from sandbox.http.messages import HttpError, Request, Response, redirect_after_post
from sandbox.http.router import Router
from sandbox.shop.drift import DRIFTS, drift_customers
from sandbox.shop.id_changes import ID_CHANGES, change_ids
from sandbox.shop.records import ShopCatalogue

MAX_SHOWN = 200
"""Records on a list page."""

_LABELS = {
    "id": "Number",
    "external_id": "Identity",
    "email": "E-mail",
    "first_name": "First name",
    "last_name": "Last name",
    "content_type": "Type",
    "url": "Address",
    "created_at": "Created",
    "updated_at": "Changed",
}
_COLUMNS = {
    "segments": ("id", "name", "members", "description", "external_id", "updated_at"),
    "documents": ("id", "title", "content_type", "size", "owner", "owner_id", "updated_at"),
}


def add_shop_pages(routes: Router, pages: PageRenderer, store: RecordStore, journal: RequestJournal) -> None:
    """Add the routes of the pages to ``routes``."""

    def show_customers(request: Request) -> Response:
        search_text = request.query.get("q", "").strip().casefold()
        records = [
            record for record in store.list_records("customers") if search_text in _build_search_text(record)
        ]
        return pages.render_page(
            request,
            "customers.html",
            "Customers",
            customers=[_build_customer_row(record) for record in records[:MAX_SHOWN]],
            total=len(records),
            shown=min(len(records), MAX_SHOWN),
            wanted=request.query.get("q", ""),
        )

    def show_customer(request: Request, key: str) -> Response:
        record = store.get_record("customers", key)
        if record is None:
            raise HttpError(404, "There is no customer with this number.")
        entries = [
            entry for entry in journal.list_entries() if (entry["entity"] or {}).get("id") == record["id"]
        ]
        rows = [build_journal_row(entry) for entry in reversed(entries[-20:])]
        fields = [(_get_label(name), _format_value(value)) for name, value in record.items()]
        return pages.render_page(request, "customer.html", _format_name(record), fields=fields, rows=rows)

    def show_id_changes(request: Request) -> Response:
        changed = request.query.get("changed", "")
        return pages.render_page(
            request,
            "ids.html",
            "Numbers",
            changes=ID_CHANGES.items(),
            changed=int(changed) if changed.isascii() and changed.isdigit() and len(changed) < 9 else 0,
            total=sum(1 for record in store.list_records("customers") if record["external_id"]),
        )

    def apply_id_change(request: Request) -> Response:
        number = change_ids(store, request.parse_form().get("kind", ""))
        return redirect_after_post(f"/ids?changed={number}")

    routes.add_route("GET", "/ids", show_id_changes)
    routes.add_route("POST", "/ids", apply_id_change)
    routes.add_route("GET", "/", show_customers)
    routes.add_route("GET", "/customers", show_customers)
    routes.add_route("GET", "/customers/{}", show_customer)
    _add_drift_page(routes, pages, ShopCatalogue(store))
    for collection in _COLUMNS:
        _add_table_page(routes, pages, store, collection)


def _add_drift_page(routes: Router, pages: PageRenderer, catalogue: ShopCatalogue) -> None:
    def show_drift(request: Request, changes: list[dict[str, object]] | None = None) -> Response:
        return pages.render_page(request, "drift.html", "Drift", kinds=DRIFTS.items(), changes=changes)

    def drift(request: Request) -> Response:
        form = request.parse_form()
        number, seed = (parse_whole_number(form.get(name, ""), name) for name in ("number", "seed"))
        changes = drift_customers(catalogue, form.get("kind", ""), number, seed)
        return show_drift(request, changes[:MAX_SHOWN])

    routes.add_route("GET", "/drift", show_drift)
    routes.add_route("POST", "/drift", drift)


def _add_table_page(routes: Router, pages: PageRenderer, store: RecordStore, collection: str) -> None:
    def show_table(request: Request) -> Response:
        columns = _COLUMNS[collection]
        records = store.list_records(collection, max(0, store.count_records(collection) - MAX_SHOWN))
        rows = [
            [(_get_label(name), _format_value(record.get(name))) for name in columns] for record in records
        ]
        headings = [_get_label(name) for name in columns]
        return pages.render_page(request, "table.html", collection.capitalize(), headings=headings, rows=rows)

    routes.add_route("GET", f"/{collection}", show_table)


def _build_customer_row(record: dict[str, object]) -> dict[str, object]:
    return {
        "id": record["id"],
        "name": _format_name(record),
        "email": record["email"],
        "external_id": record["external_id"] or "–",
        "active": record["active"],
        "changed": _format_value(record["updated_at"]),
    }


def _format_name(record: dict[str, object]) -> str:
    names = [str(record[name]) for name in ("first_name", "last_name") if record[name]]
    return " ".join(names) or str(record["email"])


def _build_search_text(record: dict[str, object]) -> str:
    return " ".join(
        str(record[name]) for name in ("id", "email", "external_id", "first_name", "last_name")
    ).casefold()


def _get_label(name: str) -> str:
    return _LABELS.get(name, name.capitalize())


def _format_value(value: object) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    text = "–" if value in (None, "") else str(value)
    is_time = len(text) == 24 and text[10] == "T" and text.endswith("Z")
    return f"{text[:10]} {text[11:19]}" if is_time else text
