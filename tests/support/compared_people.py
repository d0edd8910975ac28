"""People whom both stand-ins hold alike, by any number, and differences of all kinds between the two, by a seed."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.identity import IdentityService
from sandbox.shop import ShopService

CREATED = "2026-01-01T00:00:00.000Z"
FIRST_RECORD = 100_000
# Each kind with its share of the differences, in tenths.
SHARES = {
    "differs": 4,
    "missing-record": 2,
    "found-by-value": 1,
    "entity-gone": 1,
    "unlinked-record": 1,
    "unknown-record": 1,
}
_LINKS = """
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})
INSERT INTO sync_link (identity_id, target_id, entity_type, entity_id, record_id, version, applied_at, external_id_field)
SELECT identity_id, target_id, 'USER', 'P' || substr(CAST(10000000 + n AS text), 2), CAST({first} + n AS text), '',
    CURRENT_TIMESTAMP, 'external_id'
FROM sync_route CROSS JOIN numbers WHERE slug = '{route}'
"""


def person_id(number: int) -> str:
    """Return the id of a person in the identity service."""
    return f"P{number:07d}"


def record_id(number: int) -> str:
    """Return the id of a person's record in the shop."""
    return str(FIRST_RECORD + number)


def entity_of(number: int, phone: str = "") -> dict[str, Any]:
    """Return a person as the identity service has them."""
    key = person_id(number)
    return {
        "id": key,
        "username": key.lower(),
        "name": {"givenName": "Väinö", "familyName": f"Österberg {number}"},
        "emails": [{"address": f"{key.lower()}@example.com", "verified": True}],
        "mobiles": [{"number": phone or f"+35840{number:07d}"}],
        "memberOf": [],
        "locale": "fi",
        "version": 1,
        "meta": {"created": CREATED, "lastModified": CREATED},
    }


def record_of(number: int) -> dict[str, Any]:
    """Return a person as the shop has them."""
    key = person_id(number)
    return {
        "id": FIRST_RECORD + number,
        "external_id": key,
        "email": f"{key.lower()}@example.com",
        "first_name": "Väinö",
        "last_name": f"Österberg {number}",
        "phone": f"+35840{number:07d}",
        "language": "fi",
        "active": True,
        "segments": [],
        "created_at": CREATED,
        "updated_at": CREATED,
        "version": 1,
    }


def fill_systems(
    identity: IdentityService,
    shop: ShopService,
    number: int,
    write: Callable[[str], object],
    route: str = "aurora-user-shop",
) -> None:
    """Replace the people of both stand-ins by so many who are alike, and link them by a statement of SQL (`write`)."""
    identity.store.clear_collections("users")
    shop.store.clear_collections("customers")
    for one in range(number):
        identity.store.put_record("users", person_id(one), entity_of(one))
        shop.store.put_record("customers", record_id(one), record_of(one))
    shop.store.put_record("counters", "customers", {"next": FIRST_RECORD + 10 * number})
    write(_LINKS.format(last=number - 1, first=FIRST_RECORD, route=route))


@dataclass(slots=True)
class SeededDifferences:
    """Differences between the two stand-ins. `by_kind`: ids of the entities, or of records that belong to none."""

    by_kind: dict[str, set[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(len(ids) for ids in self.by_kind.values())


def seed_differences(
    identity: IdentityService,
    shop: ShopService,
    numbers: Sequence[int],
    write: Callable[[str], object],
    seed: int,
) -> SeededDifferences:
    """Make one difference of each of these people, of random kinds in the proportion of `SHARES`."""
    chance = random.Random(seed)
    mixed = chance.sample(list(numbers), len(numbers))
    seeded, begin = SeededDifferences(), 0
    for kind, share in SHARES.items():
        end = begin + len(mixed) * share // sum(SHARES.values())
        chosen, begin = mixed[begin:end], end
        seeded.by_kind[kind] = {_MAKERS[kind](identity, shop, number, chance) for number in chosen}
        _unlink(kind, chosen, write)
    return seeded


def _unlink(kind: str, numbers: Sequence[int], write: Callable[[str], object]) -> None:
    """Delete the links of a kind that has none; of missing records, every second one."""
    if kind in ("differs", "entity-gone"):
        return
    chosen = numbers[::2] if kind == "missing-record" else numbers
    if chosen:
        names = ", ".join(f"'{person_id(number)}'" for number in chosen)
        write(f"DELETE FROM sync_link WHERE entity_id IN ({names})")


def _change_record(shop: ShopService, number: int, **fields: Any) -> None:
    shop.store.put_record("customers", record_id(number), record_of(number) | fields)


def _differ(identity: IdentityService, shop: ShopService, number: int, chance: random.Random) -> str:
    change = chance.choice(
        [
            {"first_name": "Aino"},
            {"last_name": None},
            {"phone": "+358401112223"},
            {"language": "sv"},
            {"active": False},
        ]
    )
    _change_record(shop, number, **change)
    return person_id(number)


def _remove_record(identity: IdentityService, shop: ShopService, number: int, chance: random.Random) -> str:
    shop.store.delete_record("customers", record_id(number))
    return person_id(number)


def _empty_external_id(
    identity: IdentityService, shop: ShopService, number: int, chance: random.Random
) -> str:
    _change_record(shop, number, external_id=None)
    return person_id(number)


def _remove_entity(identity: IdentityService, shop: ShopService, number: int, chance: random.Random) -> str:
    identity.store.delete_record("users", person_id(number))
    return person_id(number)


def _add_ghost(identity: IdentityService, shop: ShopService, number: int, chance: random.Random) -> str:
    """Let the record be that of a person whom this identity service does not have."""
    identity.store.delete_record("users", person_id(number))
    _change_record(shop, number, external_id=f"GHOST{number}", email=f"ghost{number}@example.org")
    return record_id(number)


def _add_stranger(identity: IdentityService, shop: ShopService, number: int, chance: random.Random) -> str:
    """Let the record be that of a customer who is known to the shop alone."""
    identity.store.delete_record("users", person_id(number))
    _change_record(shop, number, external_id=None, email=f"stranger{number}@example.org")
    return record_id(number)


_MAKERS: dict[str, Callable[[IdentityService, ShopService, int, random.Random], str]] = {
    "differs": _differ,
    "missing-record": _remove_record,
    "found-by-value": _empty_external_id,
    "entity-gone": _remove_entity,
    "unlinked-record": _add_ghost,
    "unknown-record": _add_stranger,
}
