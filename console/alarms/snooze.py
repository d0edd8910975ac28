"""The page that snoozes alarms: no messages about them for a time, with a reason."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import client_address, require_staff_user
from console.base.forms import ReasonField, parse_pk
from sync.models import Alarm
from sync.monitoring.alarm_texts import alarm_text, format_time
from sync.monitoring.alarms import snooze_alarm

MAX_SNOOZED = 100
_MONDAY_HOUR = 6
_ALARM_LIST = "admin:sync_alarm_changelist"


class SnoozeForm(forms.Form):
    """Form for the duration and reason of a snooze. `end_times` maps each choice to its end, counted from `now`."""

    length = forms.ChoiceField(label=gettext_lazy("Snooze"))
    reason = ReasonField(label=gettext_lazy("Reason (stored with the alarm)"))

    def __init__(self, data: Any, now: datetime) -> None:
        super().__init__(data)
        self.end_times = {
            "hour": now + timedelta(hours=1),
            "shift": now + timedelta(hours=8),
            "monday": next_monday(now),
        }
        labels = {
            "hour": _("for 1 hour"),
            "shift": _("for 8 hours"),
            "monday": _("until Monday, %(time)s") % {"time": format_time(self.end_times["monday"])},
        }
        field = self.fields["length"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = list(labels.items())


def next_monday(now: datetime) -> datetime:
    """Return the first Monday, 06:00 UTC, after `now`."""
    at = now.replace(hour=_MONDAY_HOUR, minute=0, second=0, microsecond=0) - timedelta(days=now.weekday())
    return at if at > now else at + timedelta(days=7)


def may_snooze(request: HttpRequest) -> bool:
    """Return True if the person may see alarms and snooze them."""
    return request.user.has_perms(["sync.view_alarm", "sync.snooze_alarm"])


@admin_page("snooze/", "snooze")
def snooze_view(alarm_admin: AdminWithPages, request: HttpRequest) -> HttpResponse:
    """Show the active alarms named by `?alarm=…`; on POST with a valid reason, snooze them and redirect. Raises
    PermissionDenied.
    """
    if not may_snooze(request):
        raise PermissionDenied
    alarms = _requested_alarms(request)
    if not alarms:
        is_chosen = "alarm" in request.GET
        text = (
            _("None of these alarms is active anymore.")
            if is_chosen
            else _("Select at least one active alarm.")
        )
        messages.warning(request, text)
        return redirect(_ALARM_LIST)
    now = timezone.now()
    # The times of the choices and the snooze itself are counted from one `now`.
    form = SnoozeForm(request.POST if request.method == "POST" else None, now)
    if request.method == "POST" and form.is_valid():
        _snooze_alarms(request, alarms, form, now)
        # A single alarm was probably snoozed from its own page.
        return redirect(_ALARM_LIST) if len(alarms) > 1 else redirect("admin:sync_alarm_change", alarms[0].pk)
    alarm_texts = [(alarm, alarm_text(alarm)) for alarm in alarms]
    context = {
        "title": ngettext("Snooze %(count)d alarm?", "Snooze %(count)d alarms?", len(alarms))
        % {"count": len(alarms)},
        "alarm_texts": alarm_texts,
        "snooze_form": form,
    }
    return alarm_admin.render_page(request, "console/alarms/snooze.html", context)


def _requested_alarms(request: HttpRequest) -> list[Alarm]:
    # Ended alarms are left out: there is nothing to snooze about them.
    keys = [pk for pk in map(parse_pk, request.GET.getlist("alarm")) if pk is not None]
    return list(Alarm.objects.filter(pk__in=keys[:MAX_SNOOZED], ended_at=None).order_by("id"))


def _snooze_alarms(request: HttpRequest, alarms: list[Alarm], form: SnoozeForm, now: datetime) -> None:
    until, reason = form.end_times[form.cleaned_data["length"]], form.cleaned_data["reason"]
    audit_details = {
        "by": require_staff_user(request),
        "reason": reason,
        "at": now,
        "address": client_address(request),
    }
    done = sum(snooze_alarm(alarm, until, **audit_details) for alarm in alarms)
    text = ngettext(
        "%(count)d alarm snoozed until %(time)s.", "%(count)d alarms snoozed until %(time)s.", done
    )
    messages.success(request, text % {"count": done, "time": format_time(until)})
