"""The key of a subject: found by the commit that stores a webhook, made by the first one.

A key belongs to a source, an entity type and an id: that much is known of every event when it is stored, also of one
that no route leads on, and routes may change. The person behind it may be known to several sources: erasing takes
the keys of all of them (`sync.erasure.erase`).
"""

import hmac
import struct
from collections.abc import Collection, Sequence
from functools import lru_cache

from django.db import connection
from django.db.models import Model
from django.utils import timezone

from database.bulk_insert import next_key
from database.model_rows import columns_of, stored
from database.statement import Bound, Statement
from webhooks.encryption.at_rest import unseal
from webhooks.models.subject_key import PSEUDONYM_MARK, Pepper, SubjectKey

Subject = tuple[int, str, str]  # source, entity type, entity id


def subject_key(source_id: int, entity_type: str, entity_id: str) -> SubjectKey:
    """The subject's key, made where there is none. One statement, two where it is new.

    In the transaction that stores what it seals: then it cannot be destroyed in between.
    """
    subject = source_id, entity_type, entity_id
    return keys_of_subjects([subject])[subject]


def keys_of_subjects(subjects: Collection[Subject]) -> dict[Subject, SubjectKey]:
    """The key of each of these, a few, by as many statements as one takes."""
    names = {subject: pseudonym(*subject) for subject in subjects}
    keys: dict[str, SubjectKey] = {}
    while missing := sorted(set(names.values()) - keys.keys()):
        keys |= {key.pseudonym: key for key in _find(missing)}
        if new := [name for name in missing if name not in keys]:
            keys |= _add(new)
        # what is missing still, another process met at this moment, and was first
    return {subject: keys[name] for subject, name in names.items()}


def look_up(subject: Subject, beside: type[Model]) -> tuple[SubjectKey, int]:
    """On PostgreSQL, by one statement: the key as it is at this moment, or a new one that is not stored, and the key
    of a row of that model for later (`database.bulk_insert.next_key`).

    What is sealed under it is stored by the statement that stores a new one, or one whose first part says that it is
    there still (`are_there_still`).
    """
    name = pseudonym(*subject)
    ((later, *values),) = _looking_up(beside).rows(name)
    key = SubjectKey.new(name, timezone.now()) if values[0] is None else stored(SubjectKey, values)
    return key, later


def look_all_up(subjects: Collection[Subject]) -> dict[Subject, SubjectKey]:
    """The same for several, without that row's key."""
    names = {subject: pseudonym(*subject) for subject in subjects}
    known = {key.pseudonym: key for key in _find(sorted(names.values()), locks=False)}
    at = timezone.now()
    return {subject: known.get(name) or SubjectKey.new(name, at) for subject, name in names.items()}


def are_there_still(keys: Collection[SubjectKey]) -> Bound:
    """On PostgreSQL: gives their number where nobody has destroyed one of them, nor will before what is sealed under
    them is stored.
    """
    return _counting(len(keys)).bound(*(each.pk for each in keys))


@lru_cache(maxsize=8)
def _looking_up(beside: type[Model]) -> Statement:
    return Statement(
        f"""SELECT {next_key(beside)}, {columns_of(SubjectKey, "k")} FROM webhooks_subjectkey k
        RIGHT JOIN (VALUES (%s)) AS wanted (name) ON k.pseudonym = wanted.name AND k.destroyed_at IS NULL"""  # noqa: S608
    )


def _find(names: Sequence[str], *, locks: bool = True) -> list[SubjectKey]:
    """Locked, so that nobody destroys one before what is sealed under it is stored; in the order of erasures."""
    finding = _finding(len(names), locks and connection.vendor == "postgresql")
    return [stored(SubjectKey, each) for each in finding.rows(*names)]


def _add(names: Sequence[str]) -> dict[str, SubjectKey]:
    """Those of them that nobody had added yet."""
    at = timezone.now()
    made = {name: SubjectKey.new(name, at) for name in names}
    values = [value for key in made.values() for value in (key.pseudonym, key.wrapped, key.made_at)]
    added = {}
    for pk, name in _adding(len(names)).rows(*values):
        key = added[name] = made[name]
        key.pk, key._state.adding = pk, False
    return added


@lru_cache(maxsize=64)
def _finding(names: int, locks: bool) -> Statement:
    marks = ", ".join(["%s"] * names)
    found = f"""SELECT {columns_of(SubjectKey, "k")} FROM webhooks_subjectkey k
        WHERE k.pseudonym IN ({marks}) AND k.destroyed_at IS NULL"""  # noqa: S608
    return Statement(f"{found} ORDER BY k.id FOR KEY SHARE" if locks else found)


@lru_cache(maxsize=64)
def _counting(keys: int) -> Statement:
    marks = ", ".join(["%s"] * keys)
    return Statement(
        f"""SELECT count(*) FROM (SELECT 1 FROM webhooks_subjectkey WHERE id IN ({marks}) AND destroyed_at IS NULL
        ORDER BY id FOR KEY SHARE) there"""  # noqa: S608
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
