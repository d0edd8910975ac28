"""Changes of the customers' numbers and identities, as a restore, an import or a merge makes them in a real shop.

They concern the customers that have an identity, oldest first. The members of segments and the owners of documents get
the new numbers too: the shop itself stays consistent, and only what others remember of it becomes wrong.
"""

from collections.abc import Callable, Mapping

from sandbox.base.store import Record, RecordStore
from sandbox.http.messages import HttpError
from sandbox.shop.records import ShopCatalogue
from sandbox.shop.schema import CUSTOMER_FIELDS

ID_CHANGES: Mapping[str, str] = {
    "exchange": "Exchange the numbers of each two customers",
    "shift": "Give each customer the number of the next one",
    "import": "Import all customers again, with new numbers",
    "reuse": "Delete every second customer, and give its number to somebody else",
    "clear": "Empty the identity of all customers",
}


def change_ids(store: RecordStore, kind: str) -> int:
    """Change the customers that have an identity. Returns how many were changed.

    Raises HttpError (400) for a kind that ``ID_CHANGES`` does not have.
    """
    change = _CHANGES.get(kind)
    if change is None:
        raise HttpError(400, "There is no such change.")
    with store.lock:
        return change(store, [record for record in store.list_records("customers") if record["external_id"]])


def _exchange_numbers(store: RecordStore, customers: list[Record]) -> int:
    pairs = list(zip(customers[::2], customers[1::2], strict=False))
    numbers = {one["id"]: other["id"] for one, other in pairs}
    return _renumber(store, customers, numbers | {other: one for one, other in numbers.items()})


def _shift_numbers(store: RecordStore, customers: list[Record]) -> int:
    following = [*customers[1:], *customers[:1]]
    numbers = {record["id"]: other["id"] for record, other in zip(customers, following, strict=True)}
    return _renumber(store, customers, numbers)


def _import_again(store: RecordStore, customers: list[Record]) -> int:
    catalogue = ShopCatalogue(store)
    return _renumber(
        store, customers, {record["id"]: catalogue.allocate_id("customers") for record in customers}
    )


def _reuse_numbers(store: RecordStore, customers: list[Record]) -> int:
    for record in customers[::2]:
        stranger = {"external_id": None, "email": f"customer.{record['id']}@example.org", "phone": None}
        names = {"first_name": "New", "last_name": f"Customer {record['id']}"}
        store.put_record("customers", str(record["id"]), {**record, **stranger, **names})
    return len(customers[::2])


def _clear_identities(store: RecordStore, customers: list[Record]) -> int:
    for record in customers:
        store.put_record("customers", str(record["id"]), {**record, "external_id": None})
    return len(customers)


_CHANGES: Mapping[str, Callable[[RecordStore, list[Record]], int]] = {
    "exchange": _exchange_numbers,
    "shift": _shift_numbers,
    "import": _import_again,
    "reuse": _reuse_numbers,
    "clear": _clear_identities,
}


def _renumber(store: RecordStore, customers: list[Record], numbers: Mapping[int, int]) -> int:
    """Give customers these new numbers, and name them by these wherever they are named."""
    moved = [record for record in customers if record["id"] in numbers]
    for record in moved:
        store.delete_record("customers", str(record["id"]))
    for record in moved:
        number = numbers[record["id"]]
        store.put_record("customers", str(number), {**record, "id": number})
    new_names = {str(number): str(new) for number, new in numbers.items()}
    for collection, field in CUSTOMER_FIELDS.items():
        for record in store.list_records(collection):
            store.put_record(
                collection, str(record["id"]), {**record, field: _rename(record[field], new_names)}
            )
    return len(moved)


def _rename(value: object, new_names: Mapping[str, str]) -> object:
    """Return the number of a customer, or a list of them, after the change."""
    if isinstance(value, list):
        return [new_names.get(str(item), item) for item in value]
    return new_names.get(str(value), value)
