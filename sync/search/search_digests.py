"""The keyed digests by which a person is found: made with SEARCH_KEYS, stored when the values of an entity change.

The first key makes the stored digests, and a search uses all keys. `webhooks.SubjectKey.search_state` is a digest of
the set that was stored last. It is read with every delivery, so that an entity whose values did not change costs no
statement.
"""

import base64
import hmac
from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db import transaction

from database.clock import read_clock
from sync.models import SearchDigest
from sync.planning.search_values import MAX_VALUES
from webhooks.models import SubjectKey

_DIGEST_BYTES = 16
_STATE_BYTES = 16


def can_search_values() -> bool:
    """Return True if the hub has a key: without one it neither stores digests nor finds people by a value."""
    return bool(settings.SEARCH_KEYS)


def make_digest(value: str, key: str) -> bytes:
    """Return the digest of a normalized value: the first 16 bytes of HMAC-SHA256."""
    return hmac.digest(base64.urlsafe_b64decode(key), b"hub-search-1" + value.encode(), "sha256")[
        :_DIGEST_BYTES
    ]


def digests_of_all_keys(value: str) -> list[bytes]:
    """Return the digests that a value may be stored under, one for each key."""
    return [make_digest(value, key) for key in settings.SEARCH_KEYS]


def make_state(values: Iterable[str]) -> str:
    """Return the digest of a set of normalized values, which differs for another first key."""
    key = base64.urlsafe_b64decode(settings.SEARCH_KEYS[0])
    digests = sorted(make_digest(value, settings.SEARCH_KEYS[0]) for value in values)
    return base64.b64encode(
        hmac.digest(key, b"hub-search-set-1" + b"".join(digests), "sha256")[:_STATE_BYTES]
    ).decode()


ANY_STATE = "any"


def store_digests(
    subject: SubjectKey,
    entity_type: str,
    entity_id: str,
    values: Sequence[str],
    *,
    only_from: str | None = ANY_STATE,
) -> bool:
    """Replace the digests of an entity by those of these values, in a transaction of its own. Returns False, having
    written nothing, if the key of the subject was destroyed, because an erasure has removed the entity, or if the
    stored state is not `only_from`.

    1. Store the state, which locks the key of the subject: an erasure destroys it before or after.
    2. Read the stored digests, and write what differs: see `_replace_digests`.
    """
    state = make_state(values)
    with transaction.atomic():
        live = SubjectKey.objects.filter(pk=subject.pk, destroyed_at=None)
        if only_from != ANY_STATE:
            live = live.filter(search_state=only_from)
        if not live.update(search_state=state):
            return False
        row = SearchDigest(subject=subject, entity_type=entity_type, entity_id=entity_id)
        _replace_digests(row, values)
    subject.search_state = state
    return True


def _replace_digests(row: SearchDigest, values: Sequence[str]) -> None:
    """Insert the digests of new values, mark those of lost ones as former, and delete those of older keys, and the
    oldest former ones beyond twelve of the subject. `row`: the subject and the entity. One statement reads the stored
    digests; the others are sent only for what differs.
    """
    first, *older = settings.SEARCH_KEYS
    current = [make_digest(value, first) for value in values]
    replaced = {make_digest(value, key) for value in values for key in older}
    own, now = SearchDigest.objects.filter(subject=row.subject_id), read_clock()
    stored = {bytes(digest): (pk, at) for digest, pk, at in own.values_list("digest", "pk", "superseded_at")}
    kept = {digest: place for digest, place in stored.items() if digest not in replaced}
    former = sorted(
        ((at or now, pk) for digest, (pk, at) in kept.items() if digest not in current), reverse=True
    )
    former_keys = [pk for _, pk in former[: MAX_VALUES - len(current)]]
    lost = [pk for pk, at in kept.values() if at is None and pk in former_keys]
    back = [pk for digest, (pk, at) in kept.items() if at is not None and digest in current]
    surplus = {pk for pk, _ in stored.values()} - {kept[one][0] for one in current if one in kept}
    for keys, at in ((lost, now), (back, None)):
        if keys:
            own.filter(pk__in=keys).update(superseded_at=at)
    if unwanted := surplus - set(former_keys):
        own.filter(pk__in=unwanted).delete()
    SearchDigest.objects.bulk_create(
        SearchDigest(digest=digest, subject=row.subject, entity_type=row.entity_type, entity_id=row.entity_id)
        for digest in current
        if digest not in kept
    )
