"""Whether the keys follow each other, and which one was valid when. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from audit.checks.findings import Fault, Faults, KeyRow
from audit.format.canonical_json import canonical
from audit.format.signed_records import Record, from_hex, is_signed, is_time, key_id


@dataclass(slots=True)
class Validity:
    """A public key, and the times as text from (included) and until (excluded) which it is valid."""

    public: bytes
    begins: str
    until: str | None = None


@dataclass(slots=True)
class Keys:
    """The keys of a log."""

    by_id: dict[str, Validity] = field(default_factory=dict)

    def faults(self, kind: str, place: str, record: Record, at: str) -> Faults:
        """What is wrong with the signature under a record that was made at that time."""
        key = self.by_id.get(record["key"])
        if key is None:
            yield Fault(place, f"signed by a key that is not in the log: {record['key']}")
            return
        if not is_time(at) or at < key.begins or (key.until is not None and at >= key.until):
            yield Fault(place, f"its key was not valid at {at}")
        if not is_signed(kind, record, key.public):
            yield Fault(place, "its signature is not good")


def check_keys(rows: Iterable[KeyRow], keys: Keys) -> Faults:
    """What is wrong with the chain of keys; those that are good are added to `keys`."""
    before: Validity | None = None
    before_id, stated = "", None
    for number, row in enumerate(rows, start=1):
        record, place = row.record, f"key {row.record['number']}"
        public = from_hex(record["public"])
        if record["number"] != number or record["prev"] != before_id or record["key"] != key_id(public):
            yield Fault(place, "does not follow the key before it")
        if not is_signed("key", record, public if before is None else before.public):
            yield Fault(place, "is not signed by the key before it")
        if before is not None:
            before.until = record["from"]
            if stated != record["from"] or before.begins >= record["from"]:
                yield Fault(place, "does not begin where the key before it ends")
        valid = Validity(public, record["from"])
        keys.by_id[record["key"]] = before = valid
        before_id, stated = record["key"], row.until
        if row.until is not None and row.has_private:
            yield Fault(place, "its private half was not destroyed")
    if stated is not None:
        yield Fault(f"key {len(keys.by_id)}", "has ended, and there is none after it")


def check_begun(records: Iterable[Record], bodies: Iterable[str]) -> Faults:
    """Whether each key is on record. `bodies`: of the entries about signing keys."""
    told = " ".join(bodies)
    for record in records:
        if f'"details":{canonical(record)},' not in told:
            yield Fault(f"key {record['number']}", "its beginning is not on record")
