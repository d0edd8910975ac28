"""Random changes of the shop's customers behind the hub's back, as its staff, an import or a fault makes them."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.base.store import Record
from sandbox.http.messages import HttpError
from sandbox.shop.records import ShopCatalogue

DRIFTS: Mapping[str, str] = {
    "change": "Change a field of customers that have an identity",
    "delete": "Delete customers that have an identity",
    "add": "Add customers without an identity",
}
MAX_DRIFTED = 10_000
_NAMES = ("Aino", "Elias", "Helmi", "Leo", "Lilja", "Oiva", "Seela", "Toivo", "Venla", "Väinö")


def drift_customers(catalogue: ShopCatalogue, kind: str, number: int, seed: int) -> list[dict[str, Any]]:
    """Change at most ``number`` random customers. The same seed changes the same customers of the same shop.

    Returns the id, the external id and the changed field of each. Raises HttpError (400) for a kind that ``DRIFTS``
    does not have, and for a number above ``MAX_DRIFTED``.
    """
    drift = _DRIFTS.get(kind)
    if drift is None or number > MAX_DRIFTED:
        raise HttpError(400, f"Choose one of {', '.join(DRIFTS)}, and at most {MAX_DRIFTED} customers.")
    chance = random.Random(seed)
    with catalogue.lock:
        return drift(catalogue, number, chance)


def _change_fields(catalogue: ShopCatalogue, number: int, chance: random.Random) -> list[dict[str, Any]]:
    changes = []
    for record in _choose_customers(catalogue, number, chance):
        field, value = _draw_change(record, chance)
        catalogue.update_record("customers", str(record["id"]), {field: value}, replaces=False)
        changes.append(_describe(record, field))
    return changes


def _delete_customers(catalogue: ShopCatalogue, number: int, chance: random.Random) -> list[dict[str, Any]]:
    records = _choose_customers(catalogue, number, chance)
    for record in records:
        catalogue.delete_record("customers", str(record["id"]))
    return [_describe(record, "") for record in records]


def _add_customers(catalogue: ShopCatalogue, number: int, chance: random.Random) -> list[dict[str, Any]]:
    strangers = [
        {"email": f"stranger.{chance.getrandbits(48):012x}@example.org", "first_name": chance.choice(_NAMES)}
        for _ in range(number)
    ]
    return [_describe(catalogue.create_record("customers", stranger), "") for stranger in strangers]


_DRIFTS: Mapping[str, Callable[[ShopCatalogue, int, random.Random], list[dict[str, Any]]]] = {
    "change": _change_fields,
    "delete": _delete_customers,
    "add": _add_customers,
}


def _choose_customers(catalogue: ShopCatalogue, number: int, chance: random.Random) -> list[Record]:
    """Return random customers that have an identity and are active, at most as many as there are."""
    customers = [record for record in catalogue.list_all("customers") if _is_linked(record)]
    return chance.sample(customers, min(number, len(customers)))


def _is_linked(record: Record) -> bool:
    return bool(record["external_id"]) and record["active"]


def _draw_change(record: Record, chance: random.Random) -> tuple[str, str]:
    """Return a field and another value than the record has."""
    field = chance.choice(("first_name", "phone", "language"))
    if field == "phone":
        return field, f"+35850{chance.randrange(10**7, 10**8)}"
    values = _NAMES if field == "first_name" else ("de", "en", "et", "fi", "sv")
    return field, chance.choice([value for value in values if value != record[field]])


def _describe(record: Record, field: str) -> dict[str, Any]:
    return {"id": record["id"], "external_id": record["external_id"], "field": field}
