"""Checks of signing keys: their chain, and the time in which each is valid. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from audit.checks.findings import Faults, IntegrityFault, KeyRow
from audit.format.canonical_json import canonical_json
from audit.format.signed_records import Record, has_valid_signature, is_time_text, key_id, parse_hex


@dataclass(slots=True)
class ValidKey:
    """A public key, and the times as text from (included) and until (excluded) which it is valid."""

    public: bytes
    valid_from: str
    valid_until: str | None = None


@dataclass(slots=True)
class KeyChain:
    """The signing keys of a log, by key id."""

    by_id: dict[str, ValidKey] = field(default_factory=dict)

    def check_signature(self, kind: str, location: str, record: Record, at: str) -> Faults:
        """Yield the faults of a record's signature. `at` is the time at which the record was made."""
        key = self.by_id.get(record["key"])
        if key is None:
            yield IntegrityFault(location, f"is signed by a key that is not in the log: {record['key']}")
            return
        if (
            not is_time_text(at)
            or at < key.valid_from
            or (key.valid_until is not None and at >= key.valid_until)
        ):
            yield IntegrityFault(location, f"its key was not valid at {at}")
        if not has_valid_signature(kind, record, key.public):
            yield IntegrityFault(location, "its signature is invalid")


def check_keys(rows: Iterable[KeyRow], keys: KeyChain) -> Faults:
    """Yield the faults in the chain of keys, and add each key to `keys`."""
    before: ValidKey | None = None
    before_id, stated = "", None
    for number, row in enumerate(rows, start=1):
        record, place = row.record, f"key {row.record['number']}"
        public = parse_hex(record["public"], None)
        if record["number"] != number or record["prev"] != before_id or record["key"] != key_id(public):
            yield IntegrityFault(place, "does not follow the key before it")
        # The first key has no predecessor and signs itself.
        if not has_valid_signature("key", record, public if before is None else before.public):
            yield IntegrityFault(place, "is not signed by the key before it")
        if before is not None:
            before.valid_until = record["from"]
            if stated != record["from"] or before.valid_from >= record["from"]:
                yield IntegrityFault(place, "does not start where the key before it ends")
        valid = ValidKey(public, record["from"])
        keys.by_id[record["key"]] = before = valid
        before_id, stated = record["key"], row.valid_until
        # The private half of an ended key could still sign records for the past.
        if row.valid_until is not None and row.has_private_half:
            yield IntegrityFault(place, "its private key was not destroyed")
    # The transaction that ends a key creates its successor, so the newest key has no end.
    if stated is not None:
        yield IntegrityFault(f"key {len(keys.by_id)}", "has ended, and no key follows it")


def check_key_entries(records: Iterable[Record], details: Iterable[str]) -> Faults:
    """Yield a fault for each key without an audit entry. `details` belong to the entries about signing keys."""
    recorded = set(details)
    for record in records:
        # Details are canonical, so a comparison of texts finds the record without parsing the entries.
        if canonical_json(record) not in recorded:
            yield IntegrityFault(f"key {record['number']}", "its creation is not in the log")
