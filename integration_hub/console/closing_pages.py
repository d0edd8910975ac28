"""Mark as done by hand: look at what is closed, say what was done, confirm. One event, or many of a failure group."""

from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integration_hub.console.closing_choice import chosen, forget, freeze
from integration_hub.console.recording import address
from sync.approving import AlreadyDecided, Decided, NotDecidable
from sync.closing import closable, close_by_hand
from sync.models import Delivery, Replay
from webhooks.models import Event

MAY_CLOSE = "sync.close_delivery"
_SHOWN = 20


class NoteForm(forms.Form):
    """What was done: kept with the event. `key` names the request, so that a second click closes nothing twice."""

    reason = forms.CharField(
        label=gettext_lazy("What was done"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("Kept with the event, with your name. Name no persons."),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)


class ClosingPages(admin.ModelAdmin):  # type: ignore[type-arg]
    """The pages of an event and of a frozen choice."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/close/", wrap(self.close_view), name="webhooks_event_close"),
            path("close/<uuid:key>/", wrap(self.close_many_view), name="webhooks_event_close_many"),
            *super().get_urls(),
        ]

    def close_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One event, with all its deliveries that did not get through."""
        self._check_closing(request)
        event = get_object_or_404(Event, pk=pk)
        back = redirect("admin:webhooks_event_change", event.pk)
        rows = closable(Delivery.objects.filter(event=event)).values_list("pk", flat=True)
        return _page(self, request, tuple(rows), uuid4(), back)

    def close_many_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """What a failure group chose. The key of the choice is that of the request."""
        self._check_closing(request)
        back = redirect("admin:sync_failuregroup_changelist")
        deliveries = chosen(request, key)
        if deliveries is None:
            if Replay.objects.filter(uuid=key, requested_by=request.user.pk).exists():
                messages.warning(request, _("This was done already; nothing was done twice."))
            else:
                messages.error(request, _("This choice is not kept any more: choose again."))
            return back
        return _page(self, request, deliveries, key, back)

    def _check_closing(self, request: HttpRequest) -> None:
        if not (self.has_view_permission(request) and request.user.has_perm(MAY_CLOSE)):
            raise PermissionDenied


def freeze_closing(request: HttpRequest, deliveries: list[int]) -> HttpResponseRedirect:
    """On to the page that confirms exactly these."""
    return redirect("admin:webhooks_event_close_many", freeze(request, deliveries))


def _page(
    pages: Any, request: HttpRequest, deliveries: tuple[int, ...], key: UUID, back: HttpResponseRedirect
) -> HttpResponse:
    form = NoteForm(request.POST or None, initial={"key": key})
    if request.method == "POST" and form.is_valid():
        return _carry_out(request, deliveries, form, key, back)
    still = closable(Delivery.objects.filter(pk__in=deliveries)).order_by("pk")
    rows = list(still.select_related("event", "identity", "commercial")[:_SHOWN])
    count = still.count()
    context = {
        **pages.admin_site.each_context(request),
        "title": _title(count),
        "button": _button(count),
        "rows": rows,
        "count": count,
        "more": count - len(rows),
        "gone": len(deliveries) - count,
        "note_form": form,
        "back_url": back.url,
        "is_one": back.url != reverse("admin:sync_failuregroup_changelist"),
    }
    return TemplateResponse(request, "console/close.html", context)


def _carry_out(
    request: HttpRequest, deliveries: tuple[int, ...], form: NoteForm, key: UUID, back: HttpResponseRedirect
) -> HttpResponseRedirect:
    assert request.user.is_authenticated, "admin_view lets in nobody else"
    answer = form.cleaned_data
    try:
        done = close_by_hand(
            deliveries, by=request.user, reason=answer["reason"], key=answer["key"], address=address(request)
        )
    except AlreadyDecided:
        messages.warning(request, _("This was done already; nothing was done twice."))
    except NotDecidable as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _told(done))
    forget(request, key)
    return back


def _title(count: int) -> str:
    if not count:
        return _("There is nothing to close any more")
    return ngettext(
        "Mark %(count)s delivery as done by hand?", "Mark %(count)s deliveries as done by hand?", count
    ) % {"count": f"{count:,}"}


def _button(count: int) -> str:
    return ngettext("Close %(count)s delivery", "Close %(count)s deliveries", count) % {"count": f"{count:,}"}


def _told(done: Decided) -> str:
    count = len(done.deliveries)
    told = ngettext(
        "%(count)s delivery marked as done by hand.", "%(count)s deliveries marked as done by hand.", count
    ) % {"count": f"{count:,}"}
    if done.skipped:
        told += " " + _("%(count)s went on meanwhile and were left alone.") % {"count": f"{done.skipped:,}"}
    return told
