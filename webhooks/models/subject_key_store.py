"""The key of a subject: found when a webhook is stored, made with the first one.

A key belongs to a source, an entity type and an id: that much is known of every event when it is stored, also of one
that no route leads on, and routes may change. The person behind it may be known to several sources: erasing takes
the keys of all of them (`sync.erasure.erase`).
"""

import hmac
import struct
from collections.abc import Collection, Sequence
from functools import lru_cache

from django.db import connection
from django.utils import timezone

from database.model_rows import row_from_columns, select_list
from database.statement import Statement
from database.write_batch import WriteBatch
from webhooks.encryption.at_rest import unseal
from webhooks.models.subject_key import PSEUDONYM_MARK, Pepper, SubjectKey

Subject = tuple[int, str, str]  # source, entity type, entity id


def find_or_create_keys(subjects: Collection[Subject], batch: WriteBatch) -> dict[Subject, SubjectKey]:
    """Return the key of each subject, for what the batch stores under it.

    The batch inserts the keys that are missing, and fails if another process has inserted one meanwhile
    (IntegrityError) or destroyed one that was found (GuardFailed). Until it is committed nobody can destroy them.
    """
    names = {subject: pseudonym(*subject) for subject in subjects}
    known = {key.pseudonym: key for key in _find(sorted(set(names.values())), locks=False)}
    if known:
        batch.require(_count_live(len(known)).bind(*sorted(key.pk for key in known.values())), len(known))
    at = timezone.now()
    new = {name: SubjectKey.new(name, at) for name in names.values() if name not in known}
    batch.insert(*new.values())
    return {subject: known.get(name) or new[name] for subject, name in names.items()}


def lock_or_create_keys(subjects: Collection[Subject]) -> dict[Subject, SubjectKey]:
    """Return the key of each subject, in the transaction that stores what is encrypted under it.

    Until that transaction ends nobody can destroy them.
    """
    names = {subject: pseudonym(*subject) for subject in subjects}
    keys: dict[str, SubjectKey] = {}
    while missing := sorted(set(names.values()) - keys.keys()):
        keys |= {key.pseudonym: key for key in _find(missing, locks=True)}
        if new := [name for name in missing if name not in keys]:
            keys |= _add(new)
        # What is still missing was inserted by another process at this moment: find it in the next round.
    return {subject: keys[name] for subject, name in names.items()}


def subject_key(source_id: int, entity_type: str, entity_id: str) -> SubjectKey:
    """Return the key of one subject, as `lock_or_create_keys` does."""
    subject = source_id, entity_type, entity_id
    return lock_or_create_keys([subject])[subject]


def _find(names: Sequence[str], *, locks: bool) -> list[SubjectKey]:
    """Return the keys that are not destroyed; locked in the order in which erasures lock them."""
    finding = _finding(len(names), locks and connection.vendor == "postgresql")
    return [row_from_columns(SubjectKey, columns) for columns in finding.fetch_all(*names)]


def _add(names: Sequence[str]) -> dict[str, SubjectKey]:
    """Insert keys, but those that another process has inserted meanwhile."""
    at = timezone.now()
    made = {name: SubjectKey.new(name, at) for name in names}
    values = [value for key in made.values() for value in (key.pseudonym, key.wrapped, key.made_at)]
    added = {}
    for pk, name in _adding(len(names)).fetch_all(*values):
        key = added[name] = made[name]
        key.pk, key._state.adding = pk, False
    return added


@lru_cache(maxsize=64)
def _finding(names: int, locks: bool) -> Statement:
    marks = ", ".join(["%s"] * names)
    found = f"""SELECT {select_list(SubjectKey, "k")} FROM webhooks_subjectkey k
        WHERE k.pseudonym IN ({marks}) AND k.destroyed_at IS NULL"""  # noqa: S608
    return Statement(f"{found} ORDER BY k.id FOR KEY SHARE" if locks else found)


def _count_live(keys: int) -> Statement:
    """Count the keys that are not destroyed, and lock them on PostgreSQL; SQLite has one writer anyway."""
    return _counting(keys, locks=connection.vendor == "postgresql")


@lru_cache(maxsize=64)
def _counting(keys: int, *, locks: bool) -> Statement:
    marks = ", ".join(["%s"] * keys)
    lock = "FOR KEY SHARE" if locks else ""
    return Statement(
        f"""SELECT count(*) FROM (SELECT 1 FROM webhooks_subjectkey WHERE id IN ({marks}) AND destroyed_at IS NULL
        ORDER BY id {lock}) live"""  # noqa: S608
    )


@lru_cache(maxsize=64)
def _adding(names: int) -> Statement:
    rows = ", ".join(["(%s, %s, %s)"] * names)
    return Statement(
        f"""INSERT INTO webhooks_subjectkey (pseudonym, wrapped, made_at) VALUES {rows}
        ON CONFLICT DO NOTHING RETURNING id, pseudonym"""  # noqa: S608
    )


def pseudonym(source_id: int, entity_type: str, entity_id: str) -> str:
    """What stands for an entity where its id must not: 64 hexadecimal digits, HMAC-SHA256 under the pepper."""
    named = [part.encode() for part in (str(source_id), entity_type, entity_id)]
    text = b"".join(struct.pack(">I", len(part)) + part for part in named)
    return hmac.digest(_pepper(), b"hub-pseudonym-1" + text, "sha256").hex()


def erased_id(name: str) -> str:
    """A pseudonym as it stands in place of an id."""
    return f"{PSEUDONYM_MARK}{name}"


@lru_cache(maxsize=1)
def _pepper() -> bytes:
    """The migration made it, and it never changes."""
    return unseal(bytes(Pepper.objects.get().sealed))
