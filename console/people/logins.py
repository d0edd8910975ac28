"""Logins and passwords: the entries on the audit log, a change of one's own password, and how a login is unlocked.

Failed logins are counted in `logins`. Django's pages save passwords outside of a ModelAdmin, so the entries come from
Django's signals and views.
"""

from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import Any, TypeVar

from django import forms
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from audit.entries.append import NewEntry, append_entries
from console.base.audit_trail import client_address, record_action, require_staff_user
from logins.addresses import network_of
from logins.given_passwords import forget_given_password, has_given_password, mark_given_password
from logins.guard import guard_attempt, unlock_account
from logins.limits import LoginRefused, account_wait_seconds, find_account
from logins.models import FailedLogins

# In the session of a person who has to choose a password before anything else.
HAS_TO_CHOOSE = "chooses_password"


def refusal_of(request: HttpRequest | None) -> LoginRefused | None:
    """Return why the backend did not check the password of this request, or None if it did."""
    refusal: LoginRefused | None = getattr(request, "login_refusal", None)
    return refusal


class OwnPasswordForm(AdminPasswordChangeForm):
    """Form for a new password of one's own. The old one was checked before, by `check_own_password`."""

    def __init__(self, *args: Any, old_password_error: ValidationError | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._old_password_error = old_password_error

    def clean_old_password(self) -> str:
        if self._old_password_error is not None:
            raise self._old_password_error
        return str(self.cleaned_data["old_password"])

    def clean_new_password1(self) -> str:
        """Refuse the old password: whoever gave it knows it."""
        new = str(self.cleaned_data["new_password1"])
        if new == self.cleaned_data.get("old_password"):
            raise ValidationError(_("Choose another password than the current one."))
        return new


def check_own_password(request: HttpRequest, field: str = "old_password") -> ValidationError | None:
    """Return what is wrong with one's own password in this field, or None. It is limited and counted as a login is."""
    user = require_staff_user(request)
    typed = request.POST.get(field, "")
    if not typed:
        return None  # the form asks for it
    try:
        checked = guard_attempt(
            user.get_username(), client_address(request), lambda: user if user.check_password(typed) else None
        )
    except LoginRefused as refusal:
        return ValidationError(describe_refusal(refusal), code="login_refused")
    wrong = AdminPasswordChangeForm.error_messages["password_incorrect"]
    return None if checked is not None else ValidationError(wrong, code="password_incorrect")


def describe_refusal(refusal: LoginRefused) -> str:
    """Return a sentence that says why the password was not checked and how long to wait."""
    if refusal.is_busy:
        return _("Many people are logging in at the moment. Try again in a few seconds.")
    minutes = ceil(refusal.seconds / 60)
    return ngettext(
        "Too many failed logins for this username or from this address. Wait %(minutes)s minute, then try again. An "
        "administrator can unlock the login.",
        "Too many failed logins for this username or from this address. Wait %(minutes)s minutes, then try again. An "
        "administrator can unlock the login.",
        minutes,
    ) % {"minutes": minutes}


ResponseT = TypeVar("ResponseT", bound=HttpResponseBase)


def record_password_change(
    request: HttpRequest, pk: int, password_view: Callable[[], ResponseT]
) -> ResponseT:
    """Return the response of `password_view`; if it changed the password, append an entry in the same transaction.

    A password of another person is given: that person has to choose one at the next login.
    """
    with transaction.atomic():
        # Only the stored hash tells reliably if the view changed the password.
        before = _password_hash(pk)
        response = password_view()
        if _password_hash(pk) != before:
            record_action(request, f"person:{pk}", "person.password-changed")
            if pk == request.user.pk:
                forget_given_password(require_staff_user(request))
                request.session.pop(HAS_TO_CHOOSE, None)
            else:
                mark_given_password(User.objects.get(pk=pk))
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
    # Asked once: a new password ends the other sessions.
    if isinstance(user, User) and has_given_password(user):
        request.session[HAS_TO_CHOOSE] = True


@receiver(user_logged_out)
def record_logout(request: HttpRequest, user: AbstractBaseUser | None, **_: Any) -> None:
    """Append `person.logged-out` if a user was logged in."""
    if user is not None:
        _append_entry(f"person:{user.pk}", "person.logged-out", f"person:{user.pk}", request)


def _append_entry(stream: str, action: str, actor: str, request: HttpRequest | None) -> None:
    details = {"address": client_address(request)} if request is not None else {}
    with transaction.atomic():
        append_entries(NewEntry(stream, action, actor, details))


_RECENT = timedelta(hours=24)
_MAX_ROWS = 50


class UnlockForm(forms.Form):
    """Form for unlocking a login, and for an address that the person uses."""

    address = forms.GenericIPAddressField(
        label=gettext_lazy("IP address of the person"),
        required=False,
        help_text=gettext_lazy(
            "If the guessing continues, enter the address from which the person logs in. Attempts from other "
            "addresses then no longer count against it."
        ),
    )


def describe_lock(person: User) -> str:
    """Return a sentence that says if the person can log in from an address that they have not used before."""
    minutes = ceil(account_wait_seconds(find_account(person.get_username())) / 60)
    if not minutes:
        return _("The login is not locked.")
    return ngettext(
        "Locked for %(minutes)s minute for addresses that the person has not used before.",
        "Locked for %(minutes)s minutes for addresses that the person has not used before.",
        minutes,
    ) % {"minutes": minutes}


def recent_failures(person: User) -> QuerySet[FailedLogins]:
    """Return the failed logins of the last 24 hours, the latest first: at most 50 rows."""
    since = timezone.now() - _RECENT
    rows = FailedLogins.objects.filter(hour__gt=since - timedelta(hours=1), person_number=person.pk)
    return rows.filter(last_at__gt=since).order_by("-last_at", "-pk")[:_MAX_ROWS]


def unlock_person(request: HttpRequest, person: User, address: str) -> None:
    """Unlock the login, and record it on the audit log."""
    with transaction.atomic():
        unlock_account(person.get_username(), address)
        record_action(request, f"person:{person.pk}", "person.unlocked", {"allowed": network_of(address)})
