"""The pages of a source, and what they say."""

from typing import Any

from django.test import Client

from tests.support.pages import visible_text
from webhooks.models import Source

WHY = {"reason": "the shop moves"}


def source_form(**changed: Any) -> dict[str, Any]:
    """Return a valid form of a new source."""
    return {
        "name": "Aurora",
        "slug": "aurora",
        "is_enabled": "on",
        "scheme": "standard-webhooks",
        "scheme_settings": "{}",
        "webhook_format": "{}",
        "default_mode": "result",
        "wait_seconds": "10",
        "entity_fields": "[]",
        "reason": "a new system joins",
    } | changed


def as_json(**documents: str) -> dict[str, str]:
    """Return what a form sends for documents that are shown as JSON, not by controls."""
    return documents | {f"{name}:mode": "json" for name in documents}


def page_of(of: Source) -> str:
    return f"/admin/webhooks/source/{of.pk}/change/"


def sent(client: Client, of: Source) -> str:
    return visible_text(client.post(f"/admin/webhooks/source/{of.pk}/test/", follow=True))
