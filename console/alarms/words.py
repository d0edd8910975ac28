"""Texts and links of an alarm: its message, where to act, who was notified, who snoozed it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.permissions import RELINK_PERMISSIONS
from console.ui.formatting import render_time
from console.ui.outcome_texts import render_pill
from sync.models import Alarm, AlarmKind, NotificationState
from sync.monitoring.alarm_texts import AlarmText, alarm_text

# The page to act on, by the subject or kind of the alarm: URL name, query, permission, label of the link.
_SUBJECT_LINKS = {
    "source": ("admin:webhooks_source_change", "webhooks.view_source", gettext_lazy("Open the source")),
    "connection": (
        "admin:sync_connection_change",
        "sync.view_connection",
        gettext_lazy("Open the connection"),
    ),
    "route": (
        "admin:sync_comparison_route",
        "sync.view_differences",
        gettext_lazy("Open the comparison"),
    ),
}
_KIND_LINKS = {
    AlarmKind.DELIVERIES_LATE: (
        "admin:webhooks_event_changelist",
        "",
        "webhooks.view_event",
        gettext_lazy("Show the events"),
    ),
    AlarmKind.DELIVERIES_DEAD: (
        "admin:sync_failuregroup_changelist",
        "",
        "sync.view_failuregroup",
        gettext_lazy("Show the open failures"),
    ),
    AlarmKind.DELIVERIES_HELD: (
        "admin:sync_delivery_changelist",
        "",
        "sync.view_delivery",
        gettext_lazy("Show what is held for approval"),
    ),
    AlarmKind.LOGINS_FAILING: (
        "admin:audit_entry_changelist",
        "",
        "audit.view_entry",
        gettext_lazy("Show the failed logins"),
    ),
    AlarmKind.BREAK_GLASS: (
        "admin:audit_entry_changelist",
        "?action=person.break-glass",
        "audit.view_entry",
        gettext_lazy("Show the uses"),
    ),
    AlarmKind.AUDIT_UNREAD: (
        "admin:auth_user_changelist",
        "",
        "auth.view_user",
        gettext_lazy("Show the people"),
    ),
}
_AUDIT_LINK = (
    "admin:audit_entry_sealing",
    "",
    "audit.view_entry",
    gettext_lazy("Show the audit log integrity"),
)


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """An alarm as shown to one person. `action_url` and `action_label` link to the page where to act; both are empty if
    there is none.
    """

    alarm: Alarm
    words: AlarmText
    action_url: str
    action_label: str

    @property
    def url(self) -> str:
        return reverse("admin:sync_alarm_change", args=[self.alarm.pk])

    @property
    def status_pill(self) -> SafeString:
        """Render a pill that says if the alarm is active or ended."""
        return (
            render_pill("good", "✓", _("Ended"))
            if self.alarm.ended_at
            else render_pill("bad", "✕", _("Active"))
        )


def alarm_kind_names() -> Mapping[str, str]:
    """Return the label of each alarm kind by its value, for the filter."""
    # The menu and the list of held deliveries use another name for this kind.
    names = {str(kind.value): str(kind.label).capitalize() for kind in AlarmKind}
    return names | {AlarmKind.DELIVERIES_HELD.value: _("Held for approval")}


def build_alarm_row(alarm: Alarm, user: Any) -> AlarmRow:
    """Build the row of an alarm. An ended alarm has no link to act on."""
    place, words = ("", "") if alarm.ended_at else _action_link(alarm, user)
    return AlarmRow(alarm, alarm_text(alarm), place, words)


def _action_link(alarm: Alarm, user: Any) -> tuple[str, str]:
    side, _colon, key = alarm.subject.partition(":")
    if alarm.kind == AlarmKind.IDS_CHANGED and user.has_perms(["sync.view_connection", *RELINK_PERMISSIONS]):
        return reverse("admin:sync_connection_relink", args=[key]), _("Link the records again")
    if side in _SUBJECT_LINKS:
        page, permission, words = _SUBJECT_LINKS[side]
        return (reverse(page, args=[key]), str(words)) if user.has_perm(permission) else ("", "")
    page, query, permission, words = _KIND_LINKS.get(AlarmKind(alarm.kind), _AUDIT_LINK)
    return (reverse(page) + query, str(words)) if user.has_perm(permission) else ("", "")


def notification_lines(alarm: Alarm) -> list[SafeString]:
    """Return one line for each notification of an alarm: recipient, state, time, attempts and failure; oldest first."""
    return [
        format_html(
            "{}: {} {} {} {}",
            notification,
            NotificationState(notification.state).label,
            render_time(notification.sent_at, ""),
            ngettext("after %(count)d attempt", "after %(count)d attempts", notification.attempts)
            % {"count": notification.attempts}
            if notification.attempts > 1
            else "",
            notification.failure,
        )
        for notification in alarm.notifications.order_by("id")
    ]


def snooze_lines(alarm: Alarm) -> list[SafeString]:
    """Return one line for each snooze of the alarm: person, time, end and reason; oldest first."""
    return [
        format_html(
            _("{}, {}, until {}: {}"),
            snooze.requested_by,
            render_time(snooze.created_at),
            render_time(snooze.until),
            snooze.reason,
        )
        for snooze in alarm.snoozes.select_related("requested_by").order_by("id")
    ]
