"""Password changes on the audit log: Django's pages save them outside of what a ModelAdmin sees."""

from collections.abc import Callable
from typing import TypeVar

from django.contrib.auth import get_user_model
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from integration_hub.console.audit_trail import record

Page = TypeVar("Page", bound=HttpResponseBase)


def record_change(request: HttpRequest, pk: int, page: Callable[[], Page]) -> Page:
    """The page's answer; where it changed the person's password, an entry in the same transaction."""
    with transaction.atomic():
        before = _stored(pk)
        response = page()
        if _stored(pk) != before:
            record(request, f"person:{pk}", "person.password-changed")
    return response


def _stored(pk: int) -> str | None:
    found: str | None = (
        get_user_model()._default_manager.filter(pk=pk).values_list("password", flat=True).first()
    )
    return found
