"""The shop's records: search, create, change, delete, with the rules that a real shop would hold to."""

from collections.abc import Mapping

from sandbox.base.clock import utc_now
from sandbox.base.collections import Collections
from sandbox.base.store import Record
from sandbox.http.messages import FieldError, Problem
from sandbox.shop.schema import READ_ONLY, SCHEMAS, checked, invalid
from sandbox.shop.seed import FIRST_ID, SEEDS

TAKEN = "This e-mail address already belongs to another customer."


class Catalogue(Collections):
    """The shop's collections: an e-mail address belongs to one customer."""

    def seed(self) -> None:
        for collection, records in SEEDS.items():
            for record in records:
                self.create(collection, record)

    def search(
        self, collection: str, filters: Mapping[str, str], offset: int, limit: int
    ) -> tuple[list[Record], int]:
        """One page of the records that match every filter, and how many match.

        Text is compared without case.
        """
        if not filters:
            return self._store.all(collection, offset, limit), self._store.count(collection)
        for name in filters:
            if not _is_searchable(collection, name):
                raise Problem(400, f"There is no search by {name[:60]}.")
        # Unique-looking fields first: what is left for the others to sift is little.
        names = sorted(filters, key=lambda name: name not in {"email", "external_id"})
        found = self._store.find(collection, names[0], filters[names[0]])
        for name in names[1:]:
            others = {each["id"] for each in self._store.find(collection, name, filters[name])}
            found = [each for each in found if each["id"] in others]
        return found[offset : offset + limit], len(found)

    def create(self, collection: str, body: Mapping[str, object]) -> Record:
        fields = checked(collection, body, whole=True)
        with self._store.lock:
            self._refuse_taken_email(collection, fields, None)
            now = utc_now()
            record = {
                "id": self._next_id(collection),
                **fields,
                "created_at": now,
                "updated_at": now,
                "version": 1,
            }
            self._store.put(collection, str(record["id"]), record)
        return record

    def change(self, collection: str, key: str, body: Mapping[str, object], *, whole: bool) -> Record:
        with self._store.lock:
            before = self.get(collection, key)
            fields = checked(collection, body, whole=whole)
            self._refuse_taken_email(collection, fields, before["id"])
            record = before | fields | {"updated_at": utc_now(), "version": before["version"] + 1}
            self._store.put(collection, key, record)
        return record

    def _refuse_taken_email(self, collection: str, fields: Mapping[str, object], own_id: object) -> None:
        email = fields.get("email")
        if collection != "customers" or not isinstance(email, str):
            return
        if any(each["id"] != own_id for each in self._store.find(collection, "email", email)):
            raise invalid(FieldError("email", "duplicate", TAKEN))

    def _next_id(self, collection: str) -> int:
        """Ids are never used again, not even after a deletion."""
        counter = self._store.get("counters", collection) or {"next": FIRST_ID}
        self._store.put("counters", collection, {"next": counter["next"] + 1})
        return int(counter["next"])


def _is_searchable(collection: str, name: str) -> bool:
    field = SCHEMAS[collection].get(name)
    return name in READ_ONLY or (field is not None and field.kind is not list)
