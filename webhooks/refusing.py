"""Requests that did not pass the gate: one bounded row, no body, and an entry of the audit log."""

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from audit.entries.append import Happening, append
from webhooks import tally
from webhooks.arrival import Arrival
from webhooks.models import Refusal, Source

NEW_ROWS_A_MINUTE = 60
_PRUNE_EVERY = 100


def record_refusal(code: str, arrival: Arrival, source: Source | None) -> None:
    """Count the refusal with equal ones of its minute (`webhooks.tally`), or begin a row for it.

    A flood from many addresses shares one row a source and code once 60 rows of that minute stand.
    """
    minute = arrival.received_at.replace(second=0, microsecond=0)
    key = f"{source.pk if source else 0}|{code}"
    own, shared = (f"{key}|{each}|{minute:%Y%m%d%H%M}" for each in (arrival.address, ""))
    if any(tally.add(each, arrival.received_at, arrival.size) for each in (own, shared)):
        return
    if _count(own, arrival):
        return
    crowded = (
        Refusal.objects.filter(first_at__gte=minute, source=source, code=code).count() >= NEW_ROWS_A_MINUTE
    )
    bucket = shared if crowded else own
    if crowded and _count(bucket, arrival):
        return
    try:
        with transaction.atomic():
            row = _begin(bucket, code, arrival, source, None if crowded else arrival.address)
    except IntegrityError:  # another request of this minute was first
        _count(bucket, arrival)
        return
    tally.know(bucket)
    if row.pk % _PRUNE_EVERY == 0:
        Refusal.objects.filter(pk__lte=row.pk - settings.REFUSALS_KEPT).delete()


def _count(bucket: str, arrival: Arrival) -> int:
    """How many rows there are of it."""
    rows = Refusal.objects.filter(bucket=bucket).update(
        times=F("times") + 1, last_at=arrival.received_at, size=arrival.size
    )
    if rows:
        tally.know(bucket)
    return rows


def _begin(bucket: str, code: str, arrival: Arrival, source: Source | None, address: str | None) -> Refusal:
    row = Refusal.objects.create(
        bucket=bucket,
        source=source,
        code=code,
        address=address,
        size=arrival.size,
        first_at=arrival.received_at,
        last_at=arrival.received_at,
    )
    stream = f"setting:source:{source.pk}" if source else "system"
    actor = f"source:{source.slug}" if source else "system"
    append(Happening(stream, "webhook.refused", actor, {"code": code, "size": arrival.size}), at=row.first_at)
    return row
