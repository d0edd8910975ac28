"""Record logins, logouts and password changes on the audit log. Failed logins are counted in `logins`.

Django's pages save passwords outside of a ModelAdmin, so these come from Django's signals and views.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from audit.entries.append import NewEntry, append_entries
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


@receiver(user_logged_in)
def record_login(request: HttpRequest, user: AbstractBaseUser, **_: Any) -> None:
    """Append `person.logged-in` to the person's stream."""
    _append_entry(f"person:{user.pk}", "person.logged-in", f"person:{user.pk}", request)


@receiver(user_logged_out)
def record_logout(request: HttpRequest, user: AbstractBaseUser | None, **_: Any) -> None:
    """Append `person.logged-out` if a user was logged in."""
    if user is not None:
        _append_entry(f"person:{user.pk}", "person.logged-out", f"person:{user.pk}", request)


def _append_entry(stream: str, action: str, actor: str, request: HttpRequest | None) -> None:
    details = {"address": client_address(request)} if request is not None else {}
    with transaction.atomic():
        append_entries(NewEntry(stream, action, actor, details))
