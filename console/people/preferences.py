"""Preferences of each person: time zone and keyboard shortcuts."""

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.base.audit_trail import require_staff_user
from console.models import Preference

_TIME_ZONE_KEY, _SHORTCUTS_KEY = "zone", "shortcuts"


def session_time_zone(request: HttpRequest) -> ZoneInfo | None:
    """Return the time zone that the person chose, or None for the hub's default."""
    return find_time_zone(request.session.get(_TIME_ZONE_KEY, ""))


def find_time_zone(name: str) -> ZoneInfo | None:
    """Return the time zone of this IANA name, or None if there is none."""
    try:
        return ZoneInfo(name) if name else None
    # The zone was deleted from the operating system's database, or a stored name is not a file name.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def has_shortcuts(request: HttpRequest) -> bool:
    """Return True if the person uses keyboard shortcuts."""
    return bool(request.session.get(_SHORTCUTS_KEY, True))


@receiver(user_logged_in)
def load_preferences(request: HttpRequest, user: AbstractBaseUser, **_: Any) -> None:
    """Copy stored preferences into the session at login."""
    chosen = Preference.objects.filter(pk=user.pk).first()
    # Tests and scripts log people in on requests without a session.
    if chosen is not None and hasattr(request, "session"):
        _store_in_session(request, chosen)


def _store_in_session(request: HttpRequest, chosen: Preference) -> None:
    request.session[_TIME_ZONE_KEY] = chosen.time_zone
    request.session[_SHORTCUTS_KEY] = chosen.has_shortcuts


class PreferenceForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form for a person's preferences. Time zones come from the IANA database."""

    class Meta:
        model = Preference
        fields = ("time_zone", "has_shortcuts")
        labels = {"time_zone": _("Time zone"), "has_shortcuts": _("Keyboard shortcuts")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Names without a slash are aliases and offsets such as "EST".
        zones = [(name, name.replace("_", " ")) for name in sorted(available_timezones()) if "/" in name]
        hub = timezone.get_default_timezone_name()
        self.fields["time_zone"] = forms.ChoiceField(
            label=_("Time zone"),
            required=False,
            choices=[("", gettext("Default (%(zone)s)") % {"zone": hub}), *zones],
            help_text=_("The console shows all times in this time zone. Exports always use UTC."),
        )


def preferences_view(request: HttpRequest) -> HttpResponse:
    """Show and save the preferences of the person (`admin:preferences`)."""
    person = require_staff_user(request)
    chosen = Preference.objects.filter(pk=person.pk).first() or Preference(person_id=person.pk)
    form = PreferenceForm(request.POST or None, instance=chosen)
    if request.method == "POST" and form.is_valid():
        _store_in_session(request, form.save())
        messages.success(request, gettext("Saved."))
        return redirect("admin:preferences")
    context = {**admin.site.each_context(request), "title": gettext("Preferences"), "form": form}
    return TemplateResponse(request, "console/people/preferences.html", context)
