"""Delete the bodies of unusable requests: after 7 days, or by an erasure.

No row names the entity of such a body, so an erasure searches the bodies for the id.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from connectors.values.escapes import unescape
from database.encryption.at_rest import CannotDecrypt
from sync.housekeeping.batch_deletion import delete_payloads
from webhooks.models import Payload, Receipt

BODY_RETENTION = timedelta(days=7)
_BATCH_SIZE = 200
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


def erase_unusable_bodies(entity_id: str, _name: str) -> int:
    """Delete the bodies of requests without an event that contain this id, for an erasure. Returns their number."""
    id_variants = _encode_id_variants(entity_id)
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


def _encode_id_variants(entity_id: str) -> tuple[bytes, ...]:
    """Return the id in every encoding that a body may have: what is no UTF-8 is refused, and stored until then."""
    variants = [entity_id.encode(name) for name in _ENCODINGS]
    # Latin-1 lacks most letters.
    with suppress(UnicodeEncodeError):
        variants.append(entity_id.encode("latin-1"))
    return *variants, json.dumps(entity_id)[1:-1].encode()


def _body_contains(payload: Payload, id_variants: tuple[bytes, ...]) -> bool:
    try:
        body = payload.decrypt()
    except CannotDecrypt:
        return False
    # Senders escape what JSON and forms let them escape: PHP writes each `/` as `\/`. A form may contain JSON.
    plain = unescape(body)
    readings = (body, plain, unescape(plain))
    return any(text in reading for reading in readings for text in id_variants)


def expired_unusable_bodies(now: datetime) -> QuerySet[Payload]:
    """Return the bodies of requests without an event that are older than 7 days."""
    receipts = Receipt.objects.filter(event=None, payload__isnull=False, received_at__lt=now - BODY_RETENTION)
    return Payload.objects.filter(pk__in=receipts.values("payload"))
