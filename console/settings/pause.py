"""The pages on which a source or a route is paused and let go on, each with a reason."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console.base.audit_trail import record
from console.base.confirmed import ConfirmedAdmin
from console.base.forms import ReasonForm
from console.ui.status import pill
from sync.deliveries import routes
from sync.models import Route
from sync.operations.pauses import AT_ONCE, held_of, hold_waiting, pause, resume
from webhooks.models import Source

MOST_HELD = 10_000


def flow_pill(what: Source | Route) -> SafeString:
    """Whether something goes this way, with a shape."""
    if not what.is_enabled:
        return pill("quiet", "⊘", _("Switched off"))
    if what.paused_at is not None:
        return pill("warn", "‖", _("Paused"))
    if what.resumed_at is not None:
        return pill("warn", "↻", _("Releasing"))
    return pill("good", "✓", _("Enabled"))


def also_paused(what: Source | Route) -> list[Source | Route]:
    """What keeps holding some of it when this one goes on: the source of a route, or routes of a source."""
    if isinstance(what, Route):
        return [what.source] if what.source.paused_at is not None else []
    return list(what.routes.filter(paused_at__isnull=False).select_related("source", "commercial"))


def held_now(what: Source | Route) -> int:
    """How many deliveries wait for it; nothing is counted where it never was paused, or all are released."""
    return held_of(what, MOST_HELD) if what.paused_at or what.resumed_at else 0


class PausingViews(ConfirmedAdmin):
    """For whoever may change the source or the route."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/pause/", wrap(self.pause_view), name=self._url("pause")),
            path("<int:pk>/resume/", wrap(self.resume_view), name=self._url("resume")),
            *super().get_urls(),
        ]

    def pause_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks for a reason, then holds what comes this way."""
        what = self._to_pause(request, pk)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._pause(request, what, form.cleaned_data["reason"])
            return redirect(f"admin:{self._url('change')}", pk)
        return self._asking(request, what, form, _("Pause %(what)s?"), _("Pause"))

    def resume_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks for a reason, then lets it go on."""
        what = self._to_pause(request, pk)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._resume(request, what, form.cleaned_data["reason"])
            return redirect(f"admin:{self._url('change')}", pk)
        return self._asking(request, what, form, _("Let %(what)s go on?"), _("Let it go on"))

    def _to_pause(self, request: HttpRequest, pk: int) -> Any:
        what = get_object_or_404(self.model, pk=pk)
        if not self.has_change_permission(request, what):
            raise PermissionDenied
        return what

    def _pause(self, request: HttpRequest, what: Source | Route, reason: str) -> None:
        with transaction.atomic():
            is_new = pause(what, reason, request.user)
            if is_new:
                record(request, self.stream(what.pk), f"{self.kind}.paused", {"reason": reason})
        if not is_new:
            messages.warning(request, _("It was paused already; nothing was done."))
            return
        routes.ways.invalidate()
        hold_waiting()
        messages.success(request, _("Paused. What comes this way is kept and waits."))

    def _resume(self, request: HttpRequest, what: Source | Route, reason: str) -> None:
        with transaction.atomic():
            is_new = resume(what)
            if is_new:
                record(request, self.stream(what.pk), f"{self.kind}.resumed", {"reason": reason})
        routes.ways.invalidate()
        if is_new:
            told = _("It goes on. What waited is released at %(pace)s deliveries a minute.")
            messages.success(request, told % {"pace": f"{AT_ONCE * 30:,}"})
        else:
            messages.warning(request, _("It was not paused; nothing was done."))

    def _asking(
        self, request: HttpRequest, what: Source | Route, form: ReasonForm, title: str, button: str
    ) -> TemplateResponse:
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": title % {"what": what},
            "button": button,
            "what": what,
            "page": f"admin:{self._url('change')}",
            "is_source": isinstance(what, Source),
            "held": (number := held_of(what, MOST_HELD)),
            "is_more": number == MOST_HELD,
            "others": also_paused(what),
            "pace": f"{AT_ONCE * 30:,}",
            "reason_form": form,
        }
        return TemplateResponse(request, "console/settings/pause.html", context)
