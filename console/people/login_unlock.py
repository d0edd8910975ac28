"""Unlock the login of a person whom failed attempts of others, or their own, keep out."""

from datetime import timedelta
from math import ceil

from django import forms
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.base.audit_trail import record_action
from logins.addresses import network_of
from logins.guard import unlock_account
from logins.limits import account_wait_seconds, find_account
from logins.models import FailedLogins

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
