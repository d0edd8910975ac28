"""Close failed deliveries by hand, of one event or many of a failure group: preview, note, confirm."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import client_address, require_staff_user
from console.base.forms import ReasonField
from console.base.pending_store import PendingStore
from console.permissions import MAY_CLOSE
from sync.models import Delivery, PersonRequest
from sync.operations.held_deliveries import AlreadyDecided, DecisionRefused, DecisionResult
from sync.operations.manual_closing import close_manually, filter_closable
from webhooks.models import Event

# `deliveries`: keys, fixed until the page confirms them; `reason`: what was typed before, to start from. The key of the
# pair becomes that of the request, which the database accepts once.
PENDING_CLOSINGS = PendingStore("closing_choices", max_values=5)
_MAX_SHOWN = 5
_MAX_LISTED = 50


class ClosingForm(forms.Form):
    """A note about what was done, stored with the event. `key` identifies the request: a second click closes
    nothing twice.
    """

    reason = ReasonField(
        label=gettext_lazy("What was done"),
        rows=3,
        help_text=gettext_lazy("Stored with the event and your name. Don't include personal data."),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)


@dataclass(frozen=True, slots=True)
class BackLink:
    url: str
    name: str


@admin_page("<int:pk>/close/", "close")
def close_view(event_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Close all deliveries of one event that did not succeed."""
    event_admin.require_permissions(request, MAY_CLOSE)
    event = get_object_or_404(Event, pk=pk)
    back = BackLink(reverse("admin:webhooks_event_change", args=[event.pk]), _("Event"))
    rows = filter_closable(Delivery.objects.filter(event=event)).values_list("pk", flat=True)
    # The key of a new page. A POST brings back the key of the page that it was sent from.
    return _closing_page(event_admin, request, tuple(rows), uuid4(), back)


def close_selected(
    model_admin: AdminWithPages, request: HttpRequest, key: UUID, back: BackLink
) -> HttpResponse:
    """Close the deliveries stored under this key. The caller has checked the permission."""
    pending = PENDING_CLOSINGS.get(request, key)
    if pending is None:
        # The key is the UUID of the request: if the request exists, this is a second click.
        if PersonRequest.objects.filter(uuid=key, requested_by=request.user.pk).exists():
            messages.warning(request, _("This was already done. Nothing was done twice."))
        else:
            messages.error(request, _("Your selection has expired. Select again."))
        return redirect(back.url)
    return _closing_page(model_admin, request, tuple(pending["deliveries"]), key, back, pending["reason"])


def _closing_page(
    model_admin: AdminWithPages,
    request: HttpRequest,
    deliveries: tuple[int, ...],
    key: UUID,
    back: BackLink,
    reason: str = "",
) -> HttpResponse:
    form = ClosingForm(request.POST or None, initial={"key": key, "reason": reason})
    if request.method == "POST" and form.is_valid():
        return _carry_out(request, deliveries, form, key, back)
    # Deliveries that went on since they were selected are left out.
    remaining = filter_closable(Delivery.objects.filter(pk__in=deliveries)).order_by("pk")
    rows = list(remaining.select_related("event", "identity", "target")[:_MAX_LISTED])
    count = remaining.count()
    context = {
        "title": _closing_title(count),
        "button": _button_text(count),
        "rows": rows[:_MAX_SHOWN],
        "others": rows[_MAX_SHOWN:],
        "others_count": count - len(rows[:_MAX_SHOWN]),
        "count": count,
        "more": count - len(rows),
        "no_longer_failed": len(deliveries) - count,
        "note_form": form,
        "back": back,
    }
    return model_admin.render_page(request, "console/deliveries/close.html", context)


def _carry_out(
    request: HttpRequest, deliveries: tuple[int, ...], form: ClosingForm, key: UUID, back: BackLink
) -> HttpResponseRedirect:
    answer = form.cleaned_data
    try:
        closed = close_manually(
            deliveries,
            by=require_staff_user(request),
            reason=answer["reason"],
            key=answer["key"],
            address=client_address(request),
        )
    except AlreadyDecided:
        messages.warning(request, _("This was already done. Nothing was done twice."))
    except DecisionRefused as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _result_message(closed))
    PENDING_CLOSINGS.remove(request, key)
    return redirect(back.url)


def _closing_title(count: int) -> str:
    if not count:
        return _("There is nothing left to close")
    return ngettext("Close this failed delivery?", "Close %(count)s failed deliveries?", count) % {
        "count": f"{count:,}"
    }


def _button_text(count: int) -> str:
    return ngettext("Close the delivery", "Close %(count)s deliveries", count) % {"count": f"{count:,}"}


def _result_message(closed: DecisionResult) -> str:
    count = len(closed.deliveries)
    text = ngettext("%(count)s delivery closed.", "%(count)s deliveries closed.", count) % {
        "count": f"{count:,}"
    }
    if closed.skipped_count:
        text += " " + _("Skipped because their status changed: %(count)s.") % {
            "count": f"{closed.skipped_count:,}"
        }
    return text
