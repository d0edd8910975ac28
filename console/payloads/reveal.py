"""Reveal masked payloads of one event for a minute, after a reason that the audit log stores."""

import time
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from console.base.audit_trail import record_action
from console.base.forms import ReasonField, ReasonForm
from console.base.post_only import post_only
from console.permissions import CONTENTS
from webhooks.models import Event

REVEAL_SECONDS = 60
_SESSION_KEY = "revealed"
_MAX_REVEALS = 20


class RevealMixin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Mixin with the URL that the Reveal button of an event's page posts to."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.reveal_view)
        return [path("<int:pk>/reveal/", view, name="webhooks_event_reveal"), *super().get_urls()]

    @post_only(back_to="admin:webhooks_event_change", key="pk")
    def reveal_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the contents of one event to this person for 60 seconds."""
        if not (self.has_view_permission(request) and request.user.has_perm(CONTENTS)):
            raise PermissionDenied
        event = get_object_or_404(Event, pk=pk)
        form = ReasonForm(request.POST, field=ReasonField(min_length=3, max_length=200))
        if form.is_valid():
            # Recorded before anything is shown: a crash in between reveals nothing.
            with transaction.atomic():
                record_action(
                    request, event.stream, "event.revealed", {"reason": form.cleaned_data["reason"]}
                )
            _store_reveal(request, event)
        else:
            messages.error(request, _("Nothing was revealed: enter a reason of at most 200 characters."))
        return redirect("admin:webhooks_event_change", event.pk)


def seconds_revealed(request: HttpRequest, event: Event) -> int:
    """Return for how many more seconds this person sees the contents of the event; 0 if they are masked."""
    until = float(_load_reveals(request).get(str(event.pk), 0))
    # Rounded up, so that the last fraction of a second still counts as revealed.
    return max(0, min(REVEAL_SECONDS, int(until - time.time() + 0.999)))


def _store_reveal(request: HttpRequest, event: Event) -> None:
    now = time.time()
    # Expired reveals are dropped, so that the session does not grow.
    kept = {key: until for key, until in _load_reveals(request).items() if float(until) > now}
    kept[str(event.pk)] = now + REVEAL_SECONDS
    request.session[_SESSION_KEY] = dict(list(kept.items())[-_MAX_REVEALS:])


def _load_reveals(request: HttpRequest) -> dict[str, Any]:
    reveals: dict[str, Any] = request.session.get(_SESSION_KEY, {})
    return reveals
