"""Record logins, failed logins, logouts and password changes on the audit log.

Django's pages save passwords outside of a ModelAdmin, so these come from Django's signals and views.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry
from console.base.audit_trail import client_address, record_action

ResponseT = TypeVar("ResponseT", bound=HttpResponseBase)


def record_password_change(
    request: HttpRequest, pk: int, password_view: Callable[[], ResponseT]
) -> ResponseT:
    """Return the response of `password_view`; if it changed the password, append an entry in the same transaction."""
    with transaction.atomic():
        # Only the stored hash tells reliably if the view changed the password.
        before = _password_hash(pk)
        response = password_view()
        if _password_hash(pk) != before:
            record_action(request, f"person:{pk}", "person.password-changed")
    return response


def _password_hash(pk: int) -> str | None:
    password_hash: str | None = (
        get_user_model()._default_manager.filter(pk=pk).values_list("password", flat=True).first()
    )
    return password_hash


_LOGIN_FAILED = "person.login-failed"
_MAX_ENTRIES_PER_MINUTE = 60


@receiver(user_logged_in)
def record_login(request: HttpRequest, user: AbstractBaseUser, **_: Any) -> None:
    """Append `person.logged-in` to the person's stream."""
    _append_entry(f"person:{user.pk}", "person.logged-in", f"person:{user.pk}", request)


@receiver(user_logged_out)
def record_logout(request: HttpRequest, user: AbstractBaseUser | None, **_: Any) -> None:
    """Append `person.logged-out` if a user was logged in."""
    if user is not None:
        _append_entry(f"person:{user.pk}", "person.logged-out", f"person:{user.pk}", request)


@receiver(user_login_failed)
def record_failed_login(request: HttpRequest | None = None, **_: Any) -> None:
    """Append `person.login-failed`, without the typed name, which may be a password.

    At most one entry for an address and minute, and 60 a minute in all: guessing passwords does not fill the log.
    """
    if not _is_already_recorded(request):
        _append_entry("system", _LOGIN_FAILED, "anonymous", request)


def _is_already_recorded(request: HttpRequest | None) -> bool:
    # Entries are the counter: it holds across processes and restarts.
    minute = timezone.now().replace(second=0, microsecond=0)
    recent = Entry.objects.filter(action=_LOGIN_FAILED, at__gte=minute).order_by("-at", "-id")
    recent_details = [
        json.loads(body)["details"]
        for body in recent.values_list("body", flat=True)[:_MAX_ENTRIES_PER_MINUTE]
    ]
    known = request is not None and any(
        details.get("address") == client_address(request) for details in recent_details
    )
    return known or len(recent_details) == _MAX_ENTRIES_PER_MINUTE


def _append_entry(stream: str, action: str, actor: str, request: HttpRequest | None) -> None:
    details = {"address": client_address(request)} if request is not None else {}
    with transaction.atomic():
        append_entries(NewEntry(stream, action, actor, details))
