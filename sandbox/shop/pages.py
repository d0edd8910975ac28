"""The shop's pages: what a shopkeeper would see."""

from sandbox.base.control_pages import journal_row
from sandbox.base.page_renderer import Pages
from sandbox.base.request_log import Journal
from sandbox.base.store import Store
from sandbox.http.messages import Answer, Problem, Request
from sandbox.http.router import Router

SHOWN = 200
"""Records on a list page, the newest ones."""

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
    "segments": ("id", "name", "description", "external_id", "updated_at"),
    "documents": ("id", "title", "content_type", "size", "owner", "updated_at"),
}


def add_shop_pages(routes: Router, pages: Pages, store: Store, journal: Journal) -> None:
    def customers(request: Request) -> Answer:
        wanted = request.query.get("q", "").strip().casefold()
        rows = [each for each in store.all("customers") if wanted in _searchable_text(each)]
        return pages.render(
            request,
            "customers.html",
            "Customers",
            customers=[_customer_row(each) for each in rows[:SHOWN]],
            total=len(rows),
            shown=min(len(rows), SHOWN),
            wanted=request.query.get("q", ""),
        )

    def customer(request: Request, key: str) -> Answer:
        record = store.get("customers", key)
        if record is None:
            raise Problem(404, "There is no customer with this number.")
        about = [each for each in journal.entries() if (each["entity"] or {}).get("id") == record["id"]]
        rows = [journal_row(each) for each in reversed(about[-20:])]
        fields = [(_label(name), _shown(value)) for name, value in record.items()]
        return pages.render(request, "customer.html", _full_name(record), fields=fields, rows=rows)

    routes.add("GET", "/", customers)
    routes.add("GET", "/customers", customers)
    routes.add("GET", "/customers/{}", customer)
    for collection in _COLUMNS:
        _add_table_page(routes, pages, store, collection)


def _add_table_page(routes: Router, pages: Pages, store: Store, collection: str) -> None:
    def table(request: Request) -> Answer:
        columns = _COLUMNS[collection]
        records = store.all(collection, max(0, store.count(collection) - SHOWN))
        rows = [[(_label(name), _shown(each.get(name))) for name in columns] for each in records]
        headings = [_label(name) for name in columns]
        return pages.render(request, "table.html", collection.capitalize(), headings=headings, rows=rows)

    routes.add("GET", f"/{collection}", table)


def _customer_row(record: dict[str, object]) -> dict[str, object]:
    return {
        "id": record["id"],
        "name": _full_name(record),
        "email": record["email"],
        "external_id": record["external_id"] or "–",
        "active": record["active"],
        "changed": _shown(record["updated_at"]),
    }


def _full_name(record: dict[str, object]) -> str:
    names = [str(record[name]) for name in ("first_name", "last_name") if record[name]]
    return " ".join(names) or str(record["email"])


def _searchable_text(record: dict[str, object]) -> str:
    return " ".join(
        str(record[name]) for name in ("id", "email", "external_id", "first_name", "last_name")
    ).casefold()


def _label(name: str) -> str:
    return _LABELS.get(name, name.capitalize())


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    text = "–" if value in (None, "") else str(value)
    is_time = len(text) == 24 and text[10] == "T" and text.endswith("Z")
    return f"{text[:10]} {text[11:19]}" if is_time else text
