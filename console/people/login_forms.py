"""The form that changes one's own password, and what it and the login page say when a limit is used up."""

from math import ceil
from typing import Any

from django.contrib.admin.forms import AdminPasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.base.audit_trail import client_address, require_staff_user
from logins.guard import guard_attempt
from logins.limits import LoginRefused


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


def check_own_password(request: HttpRequest) -> ValidationError | None:
    """Return what is wrong with the old password in this request, or None. It is limited and counted as a login is."""
    user = require_staff_user(request)
    typed = request.POST.get("old_password", "")
    if not typed:
        return None  # the form asks for it
    try:
        checked = guard_attempt(
            user.get_username(), client_address(request), lambda: user if user.check_password(typed) else None
        )
    except LoginRefused as refusal:
        return ValidationError(describe_refusal(refusal))
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
