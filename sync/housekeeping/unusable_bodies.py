"""Bodies of verified requests that could not be read. Nothing says about whom they are, so they are kept for 7 days
only, and an erasure searches them.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from sync.housekeeping.batch_deletion import delete_payloads
from webhooks.encryption.at_rest import CannotDecrypt
from webhooks.models import Payload, Receipt

KEPT_FOR = timedelta(days=7)
_BATCH_SIZE = 200


def erase_unusable_bodies(entity_id: str, _name: str) -> int:
    """Delete the bodies of requests without an event that contain this id, for an erasure. Returns their number."""
    wanted = _spellings(entity_id)
    found = 0
    for payloads in _batches():
        keys = [payload.pk for payload in payloads if _contains(payload, wanted)]
        if keys:
            with transaction.atomic():
                delete_payloads(keys)
            found += len(keys)
    return found


def _batches() -> Iterator[list[Payload]]:
    after = 0
    while True:
        receipts = Receipt.objects.filter(event=None, payload__subject=None, payload__pk__gt=after)
        keys = list(receipts.order_by("payload__pk").values_list("payload__pk", flat=True)[:_BATCH_SIZE])
        if not keys:
            return
        yield list(Payload.objects.filter(pk__in=keys))
        after = keys[-1]


def _spellings(entity_id: str) -> tuple[bytes, ...]:
    """Return the id as JSON may have it."""
    return entity_id.encode(), json.dumps(entity_id)[1:-1].encode()


def _contains(payload: Payload, wanted: tuple[bytes, ...]) -> bool:
    try:
        body = payload.decrypt()
    except CannotDecrypt:
        return False
    return any(text in body for text in wanted)


def old_bodies(now: datetime) -> QuerySet[Payload]:
    """Return the bodies of requests without an event that are older than 7 days."""
    receipts = Receipt.objects.filter(event=None, payload__isnull=False, received_at__lt=now - KEPT_FOR)
    return Payload.objects.filter(pk__in=receipts.values("payload"))
