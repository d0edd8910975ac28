"""A target that was in use before the hub: whose records are whose, before the first load."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.compared_people import entity_of, person_id, record_id, record_of

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FirstLoad:
    """19 people and 20 records for each unit of `scale`. No record has an external id, and none is linked.

    `certain`: the only record with the person's verified address. `ambiguous`: two people and two records have one
    address. `unverified`: the address was not verified. `new`: nobody has a record. `strangers`: records of nobody.
    """

    scale: int

    @property
    def certain(self) -> range:
        return range(14 * self.scale)

    @property
    def ambiguous(self) -> range:
        return range(14 * self.scale, 15 * self.scale)

    @property
    def unverified(self) -> range:
        return range(15 * self.scale, 16 * self.scale)

    @property
    def new(self) -> range:
        return range(16 * self.scale, 19 * self.scale)

    @property
    def strangers(self) -> range:
        return range(20 * self.scale, 24 * self.scale)

    @property
    def undecided(self) -> list[int]:
        """Return the people about whom only a person decides."""
        return [*self.ambiguous, *self.unverified]

    def fill(self, identity: IdentityService, shop: ShopService) -> None:
        """Replace the people and the customers of both stand-ins by these."""
        identity.store.clear_collections("users")
        shop.store.clear_collections("customers")
        for number in (*self.certain, *self.undecided, *self.new):
            emails = [{"address": self.address_of(number), "verified": number not in self.unverified}]
            identity.store.put_record("users", person_id(number), entity_of(number) | {"emails": emails})
        for number in (*self.certain, *self.undecided, *self.strangers):
            known = {"external_id": None, "email": self.address_of(number), "phone": None}
            shop.store.put_record("customers", record_id(number), record_of(number) | known)
        shop.store.put_record("counters", "customers", {"next": 2 * int(record_id(0))})

    def address_of(self, number: int) -> str:
        """Return a person's address. Those of a pair have one; a stranger's is nobody's."""
        if number in self.strangers:
            return f"stranger{number}@example.org"
        if number in self.ambiguous:
            return f"pair{number // 2}@example.com"
        return f"{person_id(number).lower()}@example.com"


def records_of(shop: ShopService, numbers: Iterable[int]) -> list[Record]:
    """Return the records that these people, or strangers, had before the hub."""
    by_id = {str(record["id"]): record for record in shop.list_records("customers")}
    return [by_id[record_id(number)] for number in numbers]


def owners_of(shop: ShopService) -> dict[str, list[str]]:
    """Return the ids of the records that bear the external id of each person."""
    owners: dict[str, list[str]] = {}
    for record in shop.list_records("customers"):
        if record["external_id"]:
            owners.setdefault(record["external_id"], []).append(str(record["id"]))
    return owners


def shared_addresses(shop: ShopService) -> set[str]:
    """Return the addresses that several records have."""
    found = Counter(record["email"].casefold() for record in shop.list_records("customers"))
    return {address for address, number in found.items() if number > 1}
