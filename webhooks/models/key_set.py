"""Key sets of senders, which verify their tokens. A worker fetches them: receiving calls no other system."""

import threading
import time
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from database.cached_read import cached_read
from webhooks.models.source import Source
from webhooks.protocol.tokens.public_keys import clean_key_set

# How long a key set is used if it cannot be fetched again, and how long without a look at it.
MAX_USE = timedelta(hours=24)
MIN_REFRESH, MAX_REFRESH = timedelta(minutes=5), timedelta(hours=1)
# Between two requests to one address, whatever senders ask for.
MIN_PAUSE = timedelta(seconds=60)
MAX_KEY_SETS = 200
_REQUEST_SECONDS = 10.0


class KeySet(models.Model):
    """The public keys behind an address.

    `keys` is their cleaned JSON; empty if they were never fetched. Since `wanted_at`, tokens name a key that the key
    set does not contain.
    """

    url = models.CharField(max_length=500, unique=True)
    keys = models.TextField(blank=True)
    fetched_at = models.DateTimeField(null=True)
    tried_at = models.DateTimeField(null=True)
    refresh_at = models.DateTimeField()
    wanted_at = models.DateTimeField(null=True)
    fault = models.CharField(max_length=200, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.url


def key_set_urls() -> set[str]:
    """Return the addresses of key sets in the settings of enabled sources, at most 200."""
    sources = Source.objects.filter(scheme="jwt", is_enabled=True).order_by("pk")
    urls = (options.get("jwks_url") for options in sources.values_list("scheme_settings", flat=True))
    return set([url for url in urls if isinstance(url, str)][:MAX_KEY_SETS])


def claim_due_key_sets(now: datetime) -> list[str]:
    """Claim the key sets that are due: return their addresses and mark them as tried. Deletes unused key sets.

    No address is returned twice within a minute, by however many processes.
    """
    urls = key_set_urls()
    KeySet.objects.exclude(url__in=urls).delete()
    stored = set(KeySet.objects.values_list("url", flat=True))
    KeySet.objects.bulk_create(
        [KeySet(url=url, refresh_at=now) for url in sorted(urls - stored)], ignore_conflicts=True
    )
    # No pause is longer: a later time was set by a clock that ran ahead.
    is_due = Q(refresh_at__lte=now) | Q(refresh_at__gt=now + MAX_REFRESH + MIN_PAUSE)
    due = KeySet.objects.filter(is_due | Q(wanted_at__isnull=False))
    return [url for url in due.values_list("url", flat=True) if claim_key_set(url, now)]


def claim_key_set(url: str, now: datetime) -> bool:
    """Mark a key set as tried. Returns False if any process tried it within the last minute."""
    # A time in the future, beyond what clocks differ by, was set by a clock that ran ahead.
    is_ahead = Q(tried_at__gt=now + MIN_PAUSE)
    idle = Q(tried_at=None) | Q(tried_at__lte=now - MIN_PAUSE) | is_ahead
    return bool(KeySet.objects.filter(idle, url=url).update(tried_at=now))


def store_key_set(url: str, body: bytes, lifetime: timedelta, now: datetime) -> None:
    """Store a key set that was fetched. `lifetime`: the time until it is fetched again, limited to 5 minutes to one
    hour. Raises ValueError with a sentence if it contains no usable key; the stored key set stays.
    """
    keys = clean_key_set(body)
    refresh_at = now + min(max(lifetime, MIN_REFRESH), MAX_REFRESH)
    values: dict[str, Any] = {"keys": keys, "fetched_at": now, "tried_at": now, "refresh_at": refresh_at}
    KeySet.objects.update_or_create(url=url, defaults={**values, "wanted_at": None, "fault": ""})
    find_key_set.invalidate()


def record_key_set_fault(url: str, fault: str, now: datetime) -> None:
    """Record why a key set could not be fetched. It is tried again a few minutes later."""
    KeySet.objects.filter(url=url).update(fault=fault[:200], refresh_at=now + MIN_REFRESH, wanted_at=None)


@cached_read(settings.CONFIGURATION_SECONDS, max_entries=MAX_KEY_SETS)
def find_key_set(url: str) -> str | None:
    """Return the stored key set of an address as JSON; None if it was never fetched, or too long ago."""
    rows = KeySet.objects.filter(url=url, fetched_at__gt=timezone.now() - MAX_USE)
    return rows.values_list("keys", flat=True).first()


_requested_at: dict[str, float] = {}
_requested_at_lock = threading.Lock()


def request_key_set(url: str) -> None:
    """Ask the workers to fetch a key set soon, because a token names a key that it does not contain.

    Anyone can send such tokens: one statement every ten seconds, and one fetch a minute, is all they cause.
    """
    at = time.monotonic()
    with _requested_at_lock:
        if at - _requested_at.get(url, -_REQUEST_SECONDS) < _REQUEST_SECONDS:
            return
        if len(_requested_at) >= MAX_KEY_SETS:
            _requested_at.clear()
        _requested_at[url] = at
    KeySet.objects.filter(url=url, wanted_at=None).update(wanted_at=timezone.now())
