"""Rows of refused requests."""

from typing import Any

from config_schema.codes.codes import CATALOGUE
from tests.support.builders.history import NOON, a_source
from webhooks.models import Refusal


def a_refusal(code: str = "bad-signature", slug: str | None = "aurora", **values: Any) -> Refusal:
    """Create a refusal at `at`, or at NOON."""
    number = Refusal.objects.count()
    at = values.pop("at", NOON)
    defaults: dict[str, Any] = {
        "address": "192.0.2.7",
        "size": 96,
        "bucket": f"{number}",
        "first_at": at,
        "last_at": at,
    }
    defaults["status"] = CATALOGUE[code].status if code in CATALOGUE else None
    return Refusal.objects.create(source=a_source(slug) if slug else None, code=code, **defaults | values)
