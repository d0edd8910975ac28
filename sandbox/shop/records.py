"""The records of the shop, with the rules of a real shop."""

import threading
from collections.abc import Mapping

from sandbox.base.clock import utc_now
from sandbox.base.collections import RecordCollections
from sandbox.base.store import Record
from sandbox.http.messages import FieldError, HttpError
from sandbox.shop.schema import CUSTOMER_FIELDS, READ_ONLY, SCHEMAS, build_validation_error, parse_fields
from sandbox.shop.seed import FIRST_ID, SEEDS

EMAIL_TAKEN = "This e-mail address already belongs to another customer."


class ShopCatalogue(RecordCollections):
    """The customers, segments and documents. Each e-mail address belongs to at most one customer."""

    @property
    def lock(self) -> threading.RLock:
        """The lock of the store: hold it while you read and then write what depends on it."""
        return self._store.lock

    def seed(self) -> None:
        for collection, records in SEEDS.items():
            for record in records:
                self.create_record(collection, record)

    def list_all(self, collection: str) -> list[Record]:
        """Return all records of a collection, oldest first."""
        return self._store.list_records(collection)

    def search_records(
        self, collection: str, filters: Mapping[str, str], offset: int, limit: int
    ) -> tuple[list[Record], int]:
        """Return one page of the records that match all filters, and the number of all matches.

        Text is compared without case. Raises HttpError (400) for a field that cannot be searched.
        """
        if not filters:
            return self._store.read_page(collection, offset, limit)
        for name in filters:
            if not _is_searchable(collection, name):
                raise HttpError(400, f"There is no search by {name[:60]}.")
        # Fields that are almost unique go first, so that few records are left for the other filters.
        names = sorted(filters, key=lambda name: name not in {"email", "external_id"})
        matches = self._store.find_records(collection, names[0], filters[names[0]])
        for name in names[1:]:
            ids = {record["id"] for record in self._store.find_records(collection, name, filters[name])}
            matches = [record for record in matches if record["id"] in ids]
        return matches[offset : offset + limit], len(matches)

    def create_record(self, collection: str, body: Mapping[str, object]) -> Record:
        fields = parse_fields(collection, body, replaces=True)
        with self._store.lock:
            self._refuse_taken_email(collection, fields, None)
            self._refuse_unknown_customers(collection, fields)
            now = utc_now()
            record = {
                "id": self.allocate_id(collection),
                **fields,
                "created_at": now,
                "updated_at": now,
                "version": 1,
            }
            self._store.put_record(collection, str(record["id"]), record)
        return record

    def update_record(
        self, collection: str, key: str, body: Mapping[str, object], *, replaces: bool
    ) -> Record:
        with self._store.lock:
            before = self.get_record(collection, key)
            fields = parse_fields(collection, body, replaces=replaces)
            self._refuse_taken_email(collection, fields, before["id"])
            self._refuse_unknown_customers(collection, fields)
            record = before | fields | {"updated_at": utc_now(), "version": before["version"] + 1}
            self._store.put_record(collection, key, record)
        return record

    def _refuse_taken_email(self, collection: str, fields: Mapping[str, object], own_id: object) -> None:
        email = fields.get("email")
        if collection != "customers" or not isinstance(email, str):
            return
        if any(record["id"] != own_id for record in self._store.find_records(collection, "email", email)):
            raise build_validation_error(FieldError("email", "duplicate", EMAIL_TAKEN))

    def _refuse_unknown_customers(self, collection: str, fields: Mapping[str, object]) -> None:
        """Raise HttpError (422) if fields name a customer that there is not."""
        name = CUSTOMER_FIELDS.get(collection, "")
        value = fields.get(name)
        for key in value if isinstance(value, list) else [value] if value else []:
            if self._store.get_record("customers", str(key)) is None:
                raise build_validation_error(
                    FieldError(name, "unknown_customer", f"There is no customer {str(key)[:60]}.")
                )

    def allocate_id(self, collection: str) -> int:
        """Return the next id of a collection. An id is never used again, not even after a deletion."""
        counter = self._store.get_record("counters", collection) or {"next": FIRST_ID}
        self._store.put_record("counters", collection, {"next": counter["next"] + 1})
        return int(counter["next"])


def _is_searchable(collection: str, name: str) -> bool:
    field = SCHEMAS[collection].get(name)
    return name in READ_ONLY or (field is not None and field.value_type is not list)
