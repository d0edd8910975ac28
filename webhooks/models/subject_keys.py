"""The key of a subject: found by the commit that stores a webhook, made by the first one.

A key belongs to a source, an entity type and an id: that much is known of every event when it is stored, also of one
that no route leads on, and routes may change. The person behind it may be known to several sources: erasing takes
the keys of all of them (`sync.erasing`).
"""

import hmac
import struct
from functools import lru_cache

from django.db import connection
from django.utils import timezone

from audit.statements import Statement
from audit.storing import columns_of, stored
from webhooks.models.subject import PSEUDONYM_MARK, Pepper, SubjectKey
from webhooks.sealing import unseal

_FIND = f"""SELECT {columns_of(SubjectKey, "k")} FROM webhooks_subjectkey k
    WHERE k.pseudonym = %s AND k.destroyed_at IS NULL"""  # noqa: S608
# Locked, so that nobody destroys it before what is sealed under it is stored.
_FIND_KEY = {"sqlite": Statement(_FIND), "postgresql": Statement(f"{_FIND} FOR KEY SHARE")}
_ADD_KEY = Statement(
    """INSERT INTO webhooks_subjectkey (pseudonym, wrapped, made_at) VALUES (%s, %s, %s)
    ON CONFLICT DO NOTHING RETURNING id"""
)


def subject_key(source_id: int, entity_type: str, entity_id: str) -> SubjectKey:
    """The subject's key, made where there is none. One statement, two where it is new.

    In the transaction that stores what it seals: then it cannot be destroyed in between.
    """
    name = pseudonym(source_id, entity_type, entity_id)
    while True:
        found = _FIND_KEY[connection.vendor].row(name)
        if found is not None:
            return stored(SubjectKey, found)
        key = SubjectKey.new(name, timezone.now())
        added = _ADD_KEY.row(key.pseudonym, key.wrapped, key.made_at)
        if added is not None:
            (key.pk,) = added
            key._state.adding = False
            return key
        # another process met the same subject at this moment, and was first


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
