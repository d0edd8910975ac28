"""Reveal masked payloads of events for a while, after a reason that the audit log stores."""

import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from audit.format.canonical_json import JSONValue
from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import record_action
from console.base.forms import ReasonField, ReasonForm
from console.permissions import CONTENTS
from logins.fresh_login import require_fresh_login
from webhooks.models import Event

REVEAL_SECONDS = 60
MAX_REVEALS = 20


class RevealPurpose(StrEnum):
    """The purpose of a reveal. Its value is the key of the session that lists the revealed events."""

    READING = "revealed"
    MAPPING_TRIALS = "revealed_for_mapping_trials"
    FORMAT_TRIALS = "revealed_for_format_trials"
    REQUESTS = "revealed_requests"
    CAPTURED_VALUES = "revealed_captured_values"
    DIFFERENCES = "revealed_differences"


# Somebody who writes a mapping or a format tries it out on the same event again and again.
_SECONDS = {
    RevealPurpose.READING: REVEAL_SECONDS,
    RevealPurpose.MAPPING_TRIALS: 900,
    RevealPurpose.FORMAT_TRIALS: 900,
    RevealPurpose.REQUESTS: REVEAL_SECONDS,
    RevealPurpose.CAPTURED_VALUES: REVEAL_SECONDS,
    RevealPurpose.DIFFERENCES: REVEAL_SECONDS,
}


@admin_page("<int:pk>/reveal/", "reveal", button_on="change")
def reveal_view(event_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the contents of one event to this person for 60 seconds, on the page `next` of the console."""
    event_admin.require_permissions(request, CONTENTS)
    event = get_object_or_404(Event, pk=pk)
    reveal_events(request, [event])
    back = request.POST.get("next", "")
    is_own = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return redirect(back if is_own else reverse("admin:webhooks_event_change", args=[event.pk]))


def reveal_events(
    request: HttpRequest, events: Sequence[Event], purpose: RevealPurpose = RevealPurpose.READING
) -> None:
    """Reveal the contents of at most `MAX_REVEALS` events to this person, for the posted `reason`.

    Shows an error and reveals nothing if the reason is missing. Raises PermissionDenied without the permission.
    """
    reason = _posted_reason(request)
    if not reason:
        return
    details = {"reason": reason}
    if purpose != RevealPurpose.READING:
        details["purpose"] = purpose.name.lower()
    shown: dict[int | str, tuple[str, str]] = {
        event.pk: (event.stream, "event.revealed") for event in events[:MAX_REVEALS]
    }
    _reveal(request, purpose, shown, details)


def reveal_row(
    request: HttpRequest, purpose: RevealPurpose, key: int | str, entry: tuple[str, str], **details: JSONValue
) -> None:
    """Reveal what is stored of the row `key` to this person for 60 seconds, for the posted `reason`.

    `entry`: stream and action of the audit entry. Shows an error and reveals nothing if the reason is missing. Raises
    PermissionDenied without the permission.
    """
    reason = _posted_reason(request)
    if not reason:
        return
    _reveal(request, purpose, {key: entry}, {"reason": reason, **details})


def reveal_value(
    request: HttpRequest,
    purpose: RevealPurpose,
    key: str,
    entry: tuple[str, str],
    details: Mapping[str, JSONValue],
) -> None:
    """Reveal one value to this person for 60 seconds, with an audit entry of its own, so that it needs no reason. The
    caller has checked the permission.
    """
    _reveal(request, purpose, {key: entry}, details)


def _reveal(
    request: HttpRequest,
    purpose: RevealPurpose,
    shown: Mapping[int | str, tuple[str, str]],
    details: Mapping[str, JSONValue],
) -> None:
    """Append an entry (stream, action) for each key, then show what has that key. Raises FreshLoginNeeded.

    Every reveal goes through here.
    """
    require_fresh_login(request)
    # Recorded before anything is shown: a crash in between reveals nothing.
    with transaction.atomic():
        for entry in shown.values():
            record_action(request, *entry, details)
    _store_reveals(request, list(shown), purpose)


def _posted_reason(request: HttpRequest) -> str:
    """Return the posted reason, or "" with an error on the next page. Raises PermissionDenied."""
    if not request.user.has_perm(CONTENTS):
        raise PermissionDenied
    form = ReasonForm(request.POST, field=ReasonField(min_length=3, max_length=200))
    if form.is_valid():
        reason: str = form.cleaned_data["reason"]
        return reason
    messages.error(request, _("Nothing was revealed: enter a reason of at most 200 characters."))
    return ""


def seconds_revealed(request: HttpRequest, event: Event) -> int:
    """Return for how many more seconds this person sees the contents of the event; 0 if they are masked."""
    return row_seconds_revealed(request, RevealPurpose.READING, event.pk)


def row_seconds_revealed(request: HttpRequest, purpose: RevealPurpose, key: int | str) -> int:
    """Return for how many more seconds this person sees what is stored of the row or value `key`; 0 if it is masked."""
    until = float(_load_reveals(request, purpose).get(str(key), 0))
    # Rounded up, so that the last fraction of a second still counts as revealed.
    return max(0, min(REVEAL_SECONDS, int(until - time.time() + 0.999)))


def revealed_events(request: HttpRequest, purpose: RevealPurpose = RevealPurpose.READING) -> frozenset[int]:
    """Return the keys of the events whose contents this person sees now. Everything else is masked, on every page."""
    if not request.user.has_perm(CONTENTS):
        return frozenset()
    now = time.time()
    reveals = _load_reveals(request, purpose)
    return frozenset(int(key) for key, until in reveals.items() if float(until) > now)


def _store_reveals(request: HttpRequest, keys: Sequence[int | str], purpose: RevealPurpose) -> None:
    now = time.time()
    # Expired reveals are dropped, so that the session does not grow.
    reveals = {key: until for key, until in _load_reveals(request, purpose).items() if float(until) > now}
    for key in map(str, keys):
        reveals.pop(key, None)
        reveals[key] = now + _SECONDS[purpose]
    request.session[purpose.value] = dict(list(reveals.items())[-MAX_REVEALS:])


def _load_reveals(request: HttpRequest, purpose: RevealPurpose) -> dict[str, Any]:
    reveals: dict[str, Any] = request.session.get(purpose.value, {})
    return reveals
