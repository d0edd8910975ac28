"""The pages on which a source is paused and let go on, each with a reason."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from integration_hub.console.confirming import ConfirmedAdmin, ReasonForm
from integration_hub.console.recording import record
from integration_hub.console.source_page import MOST_HELD
from sync import configuration
from sync.pausing import AT_ONCE, held_of, hold_waiting, pause, resume
from webhooks.models import Source

_PAGE = "admin:webhooks_source_change"


class PausingViews(ConfirmedAdmin):
    """For whoever may change the source."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/pause/", wrap(self.pause_view), name="webhooks_source_pause"),
            path("<int:pk>/resume/", wrap(self.resume_view), name="webhooks_source_resume"),
            *super().get_urls(),
        ]

    def pause_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks for a reason, then holds what the source sends."""
        source = self._to_pause(request, pk)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._pause(request, source, form.cleaned_data["reason"])
            return redirect(_PAGE, pk)
        return self._asking(request, source, form, _("Pause %(source)s?"), _("Pause it"))

    def resume_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks for a reason, then lets it go on."""
        source = self._to_pause(request, pk)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._resume(request, source, form.cleaned_data["reason"])
            return redirect(_PAGE, pk)
        return self._asking(request, source, form, _("Let %(source)s go on?"), _("Let it go on"))

    def _to_pause(self, request: HttpRequest, pk: int) -> Source:
        source = get_object_or_404(Source, pk=pk)
        if not self.has_change_permission(request, source):
            raise PermissionDenied
        return source

    def _pause(self, request: HttpRequest, source: Source, reason: str) -> None:
        with transaction.atomic():
            is_new = pause(source, reason)
            if is_new:
                record(request, self.stream(source.pk), "source.paused", {"reason": reason})
        if not is_new:
            messages.warning(request, _("It was paused already; nothing was done."))
            return
        configuration.ways.cache_clear()
        hold_waiting()
        messages.success(request, _("Paused. What it sends is kept and waits."))

    def _resume(self, request: HttpRequest, source: Source, reason: str) -> None:
        with transaction.atomic():
            is_new = resume(source)
            if is_new:
                record(request, self.stream(source.pk), "source.resumed", {"reason": reason})
        configuration.ways.cache_clear()
        if is_new:
            told = _("It goes on. What waited is released at %(pace)s deliveries a minute.")
            messages.success(request, told % {"pace": f"{AT_ONCE * 30:,}"})
        else:
            messages.warning(request, _("It was not paused; nothing was done."))

    def _asking(
        self, request: HttpRequest, source: Source, form: ReasonForm, title: str, button: str
    ) -> TemplateResponse:
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": title % {"source": source},
            "button": button,
            "source": source,
            "held": held_of(source, MOST_HELD),
            "pace": AT_ONCE * 30,
            "reason_form": form,
        }
        return TemplateResponse(request, "console/pause_source.html", context)
