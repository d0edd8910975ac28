"""The people of the stories. Both stand-in systems have them, alike unless a story says otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devtools.sample_history.payload_samples import FAMILY_NAMES, GIVEN_NAMES
from sandbox.identity import IdentityService
from sandbox.shop import ShopService

_FIRST_ID = 2001
_ASCII = str.maketrans("äö", "ao")


@dataclass(frozen=True, slots=True)
class Member:
    """A person whom both systems know from before the hub."""

    number: int

    @property
    def entity_id(self) -> str:
        return f"MEMBER{_FIRST_ID + self.number}"

    @property
    def given_name(self) -> str:
        return GIVEN_NAMES[self.number % len(GIVEN_NAMES)]

    @property
    def family_name(self) -> str:
        return FAMILY_NAMES[self.number // len(GIVEN_NAMES) % len(FAMILY_NAMES)]

    @property
    def email(self) -> str:
        """Return the address. No two members have the same one."""
        name = f"{self.given_name}.{self.family_name}".lower().translate(_ASCII)
        return f"{name}{_FIRST_ID + self.number}@example.com"

    @property
    def phone(self) -> str:
        return f"+35850{7_000_000 + 137 * self.number}"

    def as_user(self) -> dict[str, Any]:
        """Return the person as the identity service has them."""
        return {
            "id": self.entity_id,
            "username": self.email.partition("@")[0],
            "name": {"givenName": self.given_name, "familyName": self.family_name},
            "emails": [{"address": self.email, "verified": True}],
            "mobiles": [{"number": self.phone}],
            "memberOf": [],
            "locale": "fi",
        }

    def as_customer(self) -> dict[str, Any]:
        """Return the record that the shop has of this person."""
        return {
            "external_id": self.entity_id,
            "email": self.email,
            "first_name": self.given_name,
            "last_name": self.family_name,
            "phone": self.phone,
            "language": "fi",
        }


def add_members(identity: IdentityService, shop: ShopService, members: Sequence[Member]) -> None:
    """Add the members to both systems."""
    for member in members:
        identity.directory.create_record("users", member.as_user())
        shop.catalogue.create_record("customers", member.as_customer())
