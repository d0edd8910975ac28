"""Find the key of a subject when a webhook is stored, or create it with the first one.

A key belongs to a source, an entity type and an entity id. These are known of every event when it is stored, whether or
not a route takes it. A person may be known to several sources: an erasure destroys the keys of all of them
(`sync.erasure.erase`).
"""

import base64
import hmac
import json
import struct
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from database.encryption.at_rest import decrypt
from database.model_rows import row_from_columns, select_list
from database.statement import Statement
from database.values import parse_optional_timestamp
from database.write_batch import WriteBatch
from webhooks.models.subject_key import PSEUDONYM_MARK, Pepper, SubjectKey

Subject = tuple[int, str, str]  # source, entity type, entity id

_LAST_ERASURE = Statement(
    "SELECT max(destroyed_at) FROM webhooks_subjectkey WHERE pseudonym = %s AND destroyed_at IS NOT NULL"
)


def find_or_create_keys(subjects: Collection[Subject], batch: WriteBatch) -> dict[Subject, SubjectKey]:
    """Return the key of each subject, for a batch that stores payloads encrypted with them.

    The batch inserts the missing keys. It fails with IntegrityError if another process has inserted one meanwhile, and
    with GuardFailed if one that was found is destroyed. From the batch to its commit the keys cannot be destroyed.
    """
    pseudonyms = {subject: pseudonym(*subject) for subject in subjects}
    stored_keys = {key.pseudonym: key for key in _find_keys(sorted(set(pseudonyms.values())), locks=False)}
    if stored_keys:
        # The keys were read without a lock. The batch locks and counts them, because an erasure may destroy one in
        # between.
        batch.require(
            _count_live(len(stored_keys)).bind(*sorted(key.pk for key in stored_keys.values())),
            len(stored_keys),
        )
    at = timezone.now()
    # Sorted, as by all others that insert several: they could wait for each other otherwise.
    new_keys = {
        name: SubjectKey.new(name, at) for name in sorted(set(pseudonyms.values())) if name not in stored_keys
    }
    batch.insert(*new_keys.values())
    return {subject: stored_keys.get(name) or new_keys[name] for subject, name in pseudonyms.items()}


def lock_or_create_keys(subjects: Collection[Subject]) -> dict[Subject, SubjectKey]:
    """Return the key of each subject, created if missing and locked until the transaction ends."""
    pseudonyms = {subject: pseudonym(*subject) for subject in subjects}
    keys: dict[str, SubjectKey] = {}
    while missing := sorted(set(pseudonyms.values()) - keys.keys()):
        keys |= {key.pseudonym: key for key in _find_keys(missing, locks=True)}
        if new_pseudonyms := [name for name in missing if name not in keys]:
            keys |= _insert_missing_keys(new_pseudonyms)
        # What is still missing was inserted by another process at this moment: find it in the next round.
    return {subject: keys[name] for subject, name in pseudonyms.items()}


def subject_key(source_id: int, entity_type: str, entity_id: str) -> SubjectKey:
    """Return the key of one subject, created if missing and locked until the transaction ends."""
    subject = source_id, entity_type, entity_id
    return lock_or_create_keys([subject])[subject]


def source_key(source_id: int) -> SubjectKey:
    """Return the key of a source itself, for what may be about any entity, created if missing and locked until the
    transaction ends.
    """
    # No entity has an empty type or id.
    return subject_key(source_id, "", "")


def _find_keys(names: Sequence[str], *, locks: bool) -> list[SubjectKey]:
    """Return the keys that are not destroyed. `locks` takes them in the order in which erasures lock them."""
    statement = _find_statement(len(names), locks and connection.vendor == "postgresql")
    return [row_from_columns(SubjectKey, columns) for columns in statement.fetch_all(*names)]


def _insert_missing_keys(names: Sequence[str]) -> dict[str, SubjectKey]:
    """Insert a key for each pseudonym and return those inserted: without those that another process has inserted."""
    at = timezone.now()
    new_keys = {name: SubjectKey.new(name, at) for name in names}
    values = [value for key in new_keys.values() for value in (key.pseudonym, key.wrapped, key.made_at)]
    inserted = {}
    for pk, name in _insert_statement(len(names)).fetch_all(*values):
        key = inserted[name] = new_keys[name]
        key.pk, key._state.adding = pk, False
    return inserted


def last_erasure(pseudonym: str) -> datetime | None:
    """Return when the newest destroyed key of an entity was destroyed; None if the entity was never erased."""
    row = _LAST_ERASURE.fetch_one(pseudonym)
    return parse_optional_timestamp(row[0]) if row else None


@lru_cache(maxsize=64)
def _find_statement(names: int, locks: bool) -> Statement:
    marks = ", ".join(["%s"] * names)
    select = f"""SELECT {select_list(SubjectKey, "k")} FROM webhooks_subjectkey k
        WHERE k.pseudonym IN ({marks}) AND k.destroyed_at IS NULL"""  # noqa: S608
    return Statement(f"{select} ORDER BY k.id FOR KEY SHARE" if locks else select)


def _count_live(keys: int) -> Statement:
    """Count the keys that are not destroyed, and lock them on PostgreSQL; SQLite has one writer anyway."""
    return _count_statement(keys, locks=connection.vendor == "postgresql")


@lru_cache(maxsize=64)
def _count_statement(keys: int, *, locks: bool) -> Statement:
    marks = ", ".join(["%s"] * keys)
    lock = "FOR KEY SHARE" if locks else ""
    return Statement(
        f"""SELECT count(*) FROM (SELECT 1 FROM webhooks_subjectkey WHERE id IN ({marks}) AND destroyed_at IS NULL
        ORDER BY id {lock}) live"""  # noqa: S608
    )


@lru_cache(maxsize=64)
def _insert_statement(names: int) -> Statement:
    rows = ", ".join(["(%s, %s, %s)"] * names)
    return Statement(
        f"""INSERT INTO webhooks_subjectkey (pseudonym, wrapped, made_at) VALUES {rows}
        ON CONFLICT DO NOTHING RETURNING id, pseudonym"""  # noqa: S608
    )


def pseudonym(source_id: int, entity_type: str, entity_id: str) -> str:
    """Return the pseudonym of an entity: HMAC-SHA256 with the pepper, 64 hexadecimal digits."""
    parts = [part.encode() for part in (str(source_id), entity_type, entity_id)]
    # Each part follows its length: otherwise "ab" with "c" and "a" with "bc" would give the same pseudonym.
    text = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return hmac.digest(_load_pepper(), b"hub-pseudonym-1" + text, "sha256").hex()


def keyed_digest(purpose: str, *values: Any) -> str:
    """Return a digest of JSON values, 24 characters: equal for equal values, and useless without the pepper.

    Digests of different purposes differ.
    """
    text = json.dumps([purpose, *values], sort_keys=True, separators=(",", ":"), default=str)
    digest = hmac.digest(_load_pepper(), b"hub-digest-1" + text.encode(), "sha256")
    return base64.b64encode(digest[:18]).decode()


def subject_row_key(event: UUID) -> bytes:
    """Return the key of the digests that audit entries have of an event's columns that name a person.

    Exports contain it, except of events whose entity was erased.
    """
    return hmac.digest(_load_pepper(), b"hub-subject-row-1" + event.bytes, "sha256")[:16]


def comparison_key(comparison: UUID) -> bytes:
    """Return the key of the digests that a comparison makes of records: of no use for those of another one."""
    return hmac.digest(_load_pepper(), b"hub-comparison-1" + comparison.bytes, "sha256")


def erased_entity_id(name: str) -> str:
    """Return a pseudonym in the form in which it replaces an entity's id."""
    return f"{PSEUDONYM_MARK}{name}"


@lru_cache(maxsize=1)
def _load_pepper() -> bytes:
    """Return the pepper. A migration creates it and it never changes, so it is cached for good."""
    return decrypt(bytes(Pepper.objects.get().encrypted))
