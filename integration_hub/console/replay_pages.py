"""Replay one event or many: choose, read what will happen, say why, confirm."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from integration_hub.console.recording import address
from integration_hub.console.replay_choice import chosen, forget, freeze
from integration_hub.console.replay_preview import Preview, preview
from sync.models import Replay
from sync.replaying import LARGEST, AlreadyRequested, NotReplayable, Requested, request_replay
from webhooks.models import Event

_SHOWN = 20


class ReasonForm(forms.Form):
    """Why: kept with the replay."""

    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 2, "cols": 60}))


class ReplayPages(admin.ModelAdmin):  # type: ignore[type-arg]
    """The action on the list, the button's address, and the page that confirms."""

    actions = ("replay_selected",)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("webhooks.replay_event")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/replay/", wrap(self.choose_view), name="webhooks_event_replay"),
            path("replay/<uuid:key>/", wrap(self.confirm_view), name="webhooks_event_replay_confirm"),
            *super().get_urls(),
        ]

    @admin.action(description="Replay selected events…", permissions=["replay"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[Event]) -> HttpResponse | None:
        keys = list(queryset.order_by("pk").values_list("pk", flat=True)[: LARGEST + 1])
        if len(keys) > LARGEST:
            messages.error(request, f"More than {LARGEST:,} events match: narrow the list, then replay.")
            return None
        return redirect("admin:webhooks_event_replay_confirm", freeze(request, keys))

    def choose_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The button of an event's page."""
        self._check(request)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        event = get_object_or_404(Event, pk=pk)
        return redirect("admin:webhooks_event_replay_confirm", freeze(request, [event.pk]))

    def confirm_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """What will be sent again; on POST with a reason, do it."""
        self._check(request)
        keys = chosen(request, key)
        if keys is None:
            return self._used_up(request, key)
        events = list(Event.objects.filter(pk__in=keys).select_related("source").order_by("pk"))
        foreseen = preview(events)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and foreseen.events and form.is_valid():
            return self._start(request, key, events, form.cleaned_data["reason"])
        return TemplateResponse(request, "console/replay.html", self._context(request, key, foreseen, form))

    def _check(self, request: HttpRequest) -> None:
        if not (self.has_view_permission(request) and self.has_replay_permission(request)):
            raise PermissionDenied

    def _context(
        self, request: HttpRequest, key: UUID, foreseen: Preview, form: ReasonForm
    ) -> dict[str, Any]:
        count = len(foreseen.events)
        return {
            **self.admin_site.each_context(request),
            "title": f"Replay {_events(count)}?" if count else "There is nothing to replay",
            "button": f"Replay {_events(count)}",
            "key": key,
            "foreseen": foreseen,
            "shown": foreseen.events[:_SHOWN],
            "more": max(count - _SHOWN, 0),
            "reason_form": form,
        }

    def _start(
        self, request: HttpRequest, key: UUID, events: list[Event], reason: str
    ) -> HttpResponseRedirect:
        assert request.user.is_authenticated, "admin_view lets in nobody else"
        try:
            requested = request_replay(
                events, by=request.user, reason=reason, key=key, address=address(request)
            )
        except AlreadyRequested as error:
            messages.warning(request, str(error))
        except NotReplayable as error:
            messages.error(request, str(error))
            return redirect("admin:webhooks_event_replay_confirm", key)
        else:
            messages.success(request, _told(requested))
        forget(request, key)
        return self._onward(request, key, events[0] if len(events) == 1 else None)

    def _used_up(self, request: HttpRequest, key: UUID) -> HttpResponseRedirect:
        if Replay.objects.filter(uuid=key, requested_by=request.user.pk).exists():
            messages.warning(request, "This was started already; nothing was started twice.")
            return self._onward(request, key, None)
        messages.error(request, "This choice is not kept any more: choose the events again.")
        return redirect("admin:webhooks_event_changelist")

    def _onward(self, request: HttpRequest, key: UUID, event: Event | None) -> HttpResponseRedirect:
        """To the event, or to the replay where there were several."""
        if event is not None:
            return redirect("admin:webhooks_event_change", event.pk)
        replay = Replay.objects.filter(uuid=key).first()
        if replay is not None and request.user.has_perm("sync.view_replay"):
            return redirect("admin:sync_replay_change", replay.pk)
        return redirect("admin:webhooks_event_changelist")


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"


def _told(requested: Requested) -> str:
    replay = requested.replay
    deliveries = f"{replay.deliveries:,} deliver{'y' if replay.deliveries == 1 else 'ies'}"
    told = [f"{_events(replay.events)} will be sent again ({deliveries})."]
    if requested.skipped:
        told.append(f"{_events(requested.skipped)} without a route left alone.")
    if requested.waiting:
        told.append(f"{_events(requested.waiting)} left to an earlier replay, which has not begun yet.")
    return " ".join(told)
