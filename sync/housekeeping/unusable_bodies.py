"""Delete the bodies of unusable requests: after 7 days, or by an erasure.

No row names the entity of such a body, so an erasure searches the bodies for the id.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from database.encryption.at_rest import CannotDecrypt
from sync.housekeeping.batch_deletion import delete_payloads
from sync.housekeeping.body_search import contains_id, encode_id_variants
from webhooks.models import Payload, Receipt

BODY_RETENTION = timedelta(days=7)
_BATCH_SIZE = 200


def erase_unusable_bodies(entity_id: str, _name: str) -> int:
    """Delete the bodies of requests without an event that contain this id, for an erasure. Returns their number."""
    id_variants = encode_id_variants(entity_id)
    deleted_count = 0
    for payloads in _read_batches():
        keys = [payload.pk for payload in payloads if _body_contains(payload, id_variants)]
        if keys:
            with transaction.atomic():
                delete_payloads(keys)
            deleted_count += len(keys)
    return deleted_count


def _read_batches() -> Iterator[list[Payload]]:
    after = 0
    while True:
        receipts = Receipt.objects.filter(event=None, payload__subject=None, payload__pk__gt=after)
        keys = list(receipts.order_by("payload__pk").values_list("payload__pk", flat=True)[:_BATCH_SIZE])
        if not keys:
            return
        yield list(Payload.objects.filter(pk__in=keys))
        after = keys[-1]


def _body_contains(payload: Payload, id_variants: tuple[bytes, ...]) -> bool:
    try:
        return contains_id(payload.decrypt(), id_variants)
    except CannotDecrypt:
        return False


def expired_unusable_bodies(now: datetime) -> QuerySet[Payload]:
    """Return the bodies of requests without an event that are older than 7 days."""
    receipts = Receipt.objects.filter(event=None, payload__isnull=False, received_at__lt=now - BODY_RETENTION)
    return Payload.objects.filter(pk__in=receipts.values("payload"))
