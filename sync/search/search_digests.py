"""The keyed digests by which a person is found: made with SEARCH_KEYS, stored when the values of an entity change.

The first key makes the stored digests, and a search uses all keys. `webhooks.SubjectKey.search_state` is a digest of
the set that was stored last. It is read with every delivery, so that an entity whose values did not change costs no
statement.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError

from database.statement import Statement
from database.write_batch import GuardFailed, WriteBatch
from sync.models import SearchDigest
from sync.planning.search_values import MAX_VALUES
from webhooks.models import SubjectKey

_DIGEST_BYTES = 16
_STATE_BYTES = 16
# An entity is written by one process at a time for each of its targets.
_MAX_TRIES = 3


def can_search_values() -> bool:
    """Return True if the hub has a key: without one it neither stores digests nor finds people by a value."""
    return bool(settings.SEARCH_KEYS)


def make_digest(value: str, key: str) -> bytes:
    """Return the digest of a normalized value: the first 16 bytes of HMAC-SHA256."""
    return _digest(value, base64.urlsafe_b64decode(key))


def _digest(value: str, key: bytes) -> bytes:
    return hmac.digest(key, b"hub-search-1" + value.encode(), "sha256")[:_DIGEST_BYTES]


def digests_of_all_keys(value: str) -> list[bytes]:
    """Return the digests that a value may be stored under, one for each key."""
    return [make_digest(value, key) for key in settings.SEARCH_KEYS]


@dataclass(frozen=True, slots=True)
class DigestSet:
    """The digests of the values of one entity, made with the first key, and the state that stands for them all: it
    differs for another set, and for another first key.
    """

    values: Sequence[str]
    digests: Sequence[bytes]
    state: str

    @classmethod
    def of_values(cls, values: Sequence[str]) -> "DigestSet":
        """Return the digests of normalized values."""
        key = base64.urlsafe_b64decode(settings.SEARCH_KEYS[0])
        digests = [_digest(value, key) for value in values]
        state = hmac.digest(key, b"hub-search-set-1" + b"".join(sorted(digests)), "sha256")[:_STATE_BYTES]
        return cls(values, digests, base64.b64encode(state).decode())


_READ_STORED = Statement(
    """SELECT k.search_state, d.id, d.digest, d.superseded_at FROM webhooks_subjectkey k
    LEFT JOIN sync_searchdigest d ON d.subject_id = k.id WHERE k.id = %s AND k.destroyed_at IS NULL"""
)
# A stored state is never empty.
_STORE_STATE = Statement(
    """UPDATE webhooks_subjectkey SET search_state = %s
    WHERE id = %s AND destroyed_at IS NULL AND COALESCE(search_state, '') = %s"""
)
_SUPERSEDE = Statement("UPDATE sync_searchdigest SET superseded_at = {now} WHERE id = %s")
_RESTORE = Statement("UPDATE sync_searchdigest SET superseded_at = NULL WHERE id = %s")
_DELETE = Statement("DELETE FROM sync_searchdigest WHERE id = %s")


def store_digests(
    subject: SubjectKey, entity_type: str, entity_id: str, new: DigestSet, *, only_from: str | None = None
) -> bool:
    """Replace the stored digests of an entity by these. Returns False, having written nothing, if the key of the
    subject was destroyed, because an erasure has removed the entity; or if the stored state is not `only_from`, an
    empty one for none; or if another process stored digests of the entity at the same time, three times.
    """
    for _ in range(_MAX_TRIES):
        batch = WriteBatch()
        if not add_digests(batch, subject, entity_type, entity_id, new, only_from=only_from):
            return False
        try:
            batch.run()
        except (GuardFailed, IntegrityError):
            continue
        return True
    return False


def add_digests(
    batch: WriteBatch,
    subject: SubjectKey,
    entity_type: str,
    entity_id: str,
    new: DigestSet,
    *,
    only_from: str | None = None,
) -> bool:
    """Add to a batch what replaces the stored digests of an entity by these: nothing if they are stored already.
    Returns False, having added nothing, if the key of the subject was destroyed, or if the stored state is not
    `only_from`, an empty one for none.

    The stored state and digests are read here, without a lock. The batch stores the new state unless it has changed
    since, which locks the key of the subject: an erasure destroys it before or after. If it has changed, the batch
    fails with GuardFailed or IntegrityError.
    """
    rows = _READ_STORED.fetch_all(subject.pk)
    if not rows:
        return False
    state = rows[0][0] or ""
    if only_from is not None and state != only_from:
        return False
    if state == new.state:
        return True
    stored = {bytes(digest): (pk, at) for _, pk, digest, at in rows if pk is not None}
    batch.require(_STORE_STATE.bind(new.state, subject.pk, state))
    _add_changes(batch, stored, new)
    batch.insert(
        *(
            SearchDigest(digest=digest, subject_id=subject.pk, entity_type=entity_type, entity_id=entity_id)
            for digest in new.digests
            if digest not in stored
        )
    )
    return True


def _add_changes(batch: WriteBatch, stored: Mapping[bytes, tuple[int, Any]], new: DigestSet) -> None:
    """Mark the digests of lost values as former, restore those of values that are back, and delete those of older keys,
    and the oldest former ones beyond twelve of the subject. `stored`: key of the row and time of its loss, by digest.
    """
    current = set(new.digests)
    replaced = {make_digest(value, key) for value in new.values for key in settings.SEARCH_KEYS[1:]}
    former = [(at, pk) for digest, (pk, at) in stored.items() if digest not in current | replaced]
    # What is lost now is newer than what was lost before.
    former.sort(key=lambda row: (row[0] is None, row[0] or "", row[1]), reverse=True)
    kept = former[: MAX_VALUES - len(current)]
    unwanted = [pk for _, pk in former[len(kept) :]]
    unwanted += [pk for digest, (pk, _) in stored.items() if digest in replaced - current]
    back = [pk for digest, (pk, at) in stored.items() if digest in current and at is not None]
    batch.execute(
        *(_SUPERSEDE.bind(pk) for at, pk in kept if at is None),
        *(_RESTORE.bind(pk) for pk in back),
        *(_DELETE.bind(pk) for pk in unwanted),
    )
