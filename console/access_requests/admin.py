"""List the requests for access, and let a second administrator decide on the page of one."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from audit.entries.readable_rows import load_entries
from audit.models import Entry
from console.base.admin_pages import column
from console.base.audit_trail import client_address, require_staff_user
from console.base.decisions import deciders_text, is_approval
from console.base.read_only_admin import ReadOnlyAdmin
from console.ui.formatting import render_time
from console.ui.outcome_texts import render_pill
from logins.access_requests import (
    EXPIRES_AFTER,
    AccessRefused,
    decide_request,
    is_open,
    password_approvals,
    requested_permissions,
    who_can_approve,
    why_not_approve,
)
from logins.fresh_login import require_fresh_login
from logins.held_permissions import CHANGE_PEOPLE
from logins.models import AccessChange, AccessRequest, AccessRequestState

_STATES = {
    AccessRequestState.OPEN: ("warn", "‖", _("Waiting for a second administrator")),
    AccessRequestState.APPROVED: ("good", "✓", _("Approved")),
    AccessRequestState.USED: ("good", "✓", _("Approved and carried out")),
    AccessRequestState.REFUSED: ("quiet", "⊘", _("Rejected or withdrawn")),
}


_REMOVALS = {
    AccessChange.TAKE_ROLE: _("Take the role “%(role)s” from %(person)s"),
    AccessChange.DISABLE: _("Disable the login of %(person)s"),
    AccessChange.CLOSE: _("Close the console for %(person)s"),
    AccessChange.PASSWORD: _("Set a new password for %(person)s"),
}


def describe_access(row: AccessRequest) -> str:
    """Return who or what gets or loses which access."""
    if row.change != AccessChange.GIVE:
        return str(_REMOVALS[AccessChange(row.change)]) % {"role": row.role_name, "person": row.person}
    if row.person is not None:
        return gettext("Role “%(role)s” for %(person)s") % {"role": row.role_name, "person": row.person}
    return gettext("More permissions for the role “%(role)s”") % {"role": row.role_name}


def _state_pill(row: AccessRequest) -> SafeString:
    if row.state == AccessRequestState.OPEN and not is_open(row):
        return render_pill("quiet", "⊘", gettext("Expired"))
    look, shape, word = _STATES[AccessRequestState(row.state)]
    return render_pill(look, shape, str(word))


@admin.register(AccessRequest)
class AccessRequestAdmin(ReadOnlyAdmin):
    """Lists requests for access. Whoever may change people sees them, and decides on the requests of others."""

    allows_post = True
    list_display = ("requested", "access", "status", "requested_by", "decided_by")
    list_display_links = ("requested",)
    list_select_related = ("person", "role", "requested_by", "decided_by")
    ordering = ("-id",)
    no_rows_text = _(
        "No access requests yet. If an administrator gives someone permissions that the administrator does not have, "
        "or takes the right to read the audit log from someone, a second administrator approves it here."
    )

    def list_headline(self, rows: Sequence[Any]) -> str:
        waiting = sum(row.state == AccessRequestState.OPEN and is_open(row) for row in rows)
        text = ngettext(
            "%(count)d request is waiting for a second administrator.",
            "%(count)d requests are waiting for a second administrator.",
            waiting,
        )
        return text % {"count": waiting} if waiting else gettext("No request is waiting.")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(CHANGE_PEOPLE)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(CHANGE_PEOPLE)

    def render_detail(self, request: HttpRequest, row: AccessRequest) -> HttpResponse:
        """Show what would be given. A POST approves or rejects it."""
        if request.method == "POST":
            return self._decide(request, row)
        person = require_staff_user(request)
        context = {
            "title": describe_access(row),
            "access_request": row,
            "mark": _state_pill(row),
            "is_open": is_open(row),
            "is_password": row.change == AccessChange.PASSWORD,
            "is_removal": row.change not in (AccessChange.GIVE, AccessChange.PASSWORD),
            "may_set_password": password_approvals(row.person, person).exists() if row.person else False,
            "is_mine": row.requested_by_id == person.pk,
            "why_not": why_not_approve(row, person) if is_open(row) else "",
            "deciders": deciders_text(who_can_approve(row)) if is_open(row) else "",
            "permissions": requested_permissions(row).order_by("name") if is_open(row) else (),
            "password_set": _last_password(row),
            "ends_at": row.requested_at + EXPIRES_AFTER,
        }
        return self.render_page(request, "console/access_requests/detail.html", context)

    def _decide(self, request: HttpRequest, row: AccessRequest) -> HttpResponse:
        approves = is_approval(request, "approve")
        if approves is None:
            return redirect("admin:logins_accessrequest_change", row.pk)
        if approves:
            require_fresh_login(request)
        try:
            decide_request(
                row, approves=approves, by=require_staff_user(request), address=client_address(request)
            )
        except AccessRefused as error:
            messages.error(request, str(error))
        else:
            approved, rejected = gettext("Approved."), gettext("Rejected or withdrawn. Nothing was changed.")
            messages.success(request, approved if approves else rejected)
        return redirect("admin:logins_accessrequest_change", row.pk)

    requested = column(AccessRequest, _("requested"), lambda row: render_time(row.requested_at))
    access = column(AccessRequest, _("access"), describe_access)
    status = column(AccessRequest, _("status"), _state_pill)


def _last_password(row: AccessRequest) -> Entry | None:
    """Return the latest entry by which another person set the password of the person: they may know it."""
    if row.person_id is None:
        return None
    stream = f"person:{row.person_id}"
    entries = Entry.objects.filter(stream=stream, action__in=("person.created", "person.password-changed"))
    latest = next(iter(load_entries(entries.order_by("-id")[:1])), None)
    return latest if latest is not None and latest.actor != stream else None
