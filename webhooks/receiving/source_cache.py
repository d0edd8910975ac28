"""Cache sources for `CONFIGURATION_SECONDS`. All threads share the cached objects: do not change them."""

from django.conf import settings

from database.cached_read import cached_read
from webhooks.models import Source
from webhooks.protocol.schemes import POLLED


@cached_read(settings.CONFIGURATION_SECONDS, max_entries=1000)
def find_source(slug: str) -> Source | None:
    """Return the source with this slug, with its secrets and its capture window, or None: one
    that is polled receives nothing. A change in the console takes effect when the cache expires.
    """
    # PostgreSQL refuses a parameter with a NUL character.
    if "\0" in slug:
        return None
    sources = Source.objects.select_related("capture_window").prefetch_related("secrets")
    return sources.exclude(scheme=POLLED).filter(slug=slug).first()
