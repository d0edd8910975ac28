"""Choose the record of a held entity: the entity and the records found side by side, and one decision with a reason."""

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.admin_pages import AdminWithPages
from console.base.audit_trail import client_address, require_staff_user
from console.base.forms import ReasonField
from console.payloads.match_table import build_match_table
from console.payloads.reveal import revealed_events
from sync.deliveries.record_links import other_owners
from sync.models import MATCH_HELD_CODE, Delivery
from sync.operations.held_deliveries import AlreadyDecided, DecisionRefused
from sync.operations.match_decisions import HeldMatch, MatchDecision, decide_match, load_match
from webhooks.models import State

_BIND = f"{MatchDecision.BIND}:"
_RESULTS = {
    MatchDecision.BIND: gettext_lazy("The record was linked. The delivery continues."),
    MatchDecision.CREATE: gettext_lazy("A new record will be created. The delivery continues."),
    MatchDecision.REFUSE: gettext_lazy("The change was rejected. Nothing was sent."),
}


class MatchForm(forms.Form):
    """A choice and its reason. `key` identifies the request: a second click decides nothing twice."""

    choice = forms.ChoiceField(
        widget=forms.RadioSelect,
        label=gettext_lazy("Decision"),
        error_messages={"required": gettext_lazy("Choose what to do.")},
    )
    reason = ReasonField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Stored with the event and your name. Don't include personal data."),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, choices: list[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["choice"].choices = choices  # type: ignore[attr-defined]


def is_match_held(delivery: Delivery) -> bool:
    """Return True if a person has to choose the record of this delivery."""
    return delivery.state == State.HELD and delivery.code == MATCH_HELD_CODE


def render_match_page(
    delivery_admin: AdminWithPages, request: HttpRequest, delivery: Delivery
) -> HttpResponse:
    """Show the records found. A POST with a choice and a reason carries it out; the caller checked the permission.

    Values and their comparison are masked until they are revealed.
    """
    match, back_url = load_match(delivery), reverse("admin:sync_delivery_route", args=[delivery.route_id])
    taken = {
        candidate.record_id for candidate in match.candidates if other_owners(delivery, candidate.record_id)
    }
    form = MatchForm(_possible_decisions(match, taken), request.POST or None, initial={"key": uuid4()})
    if request.method == "POST" and form.is_valid():
        return _carry_out(request, delivery, form, back_url)
    is_masked = delivery.event_id not in revealed_events(request)
    context = {
        "title": _("Choose the record of %(type)s %(id)s")
        % {"type": delivery.entity_type, "id": delivery.entity_id},
        "delivery": delivery,
        "table": build_match_table(match, taken, is_masked=is_masked),
        "is_masked": is_masked,
        "match_form": form,
        "back_url": back_url,
    }
    return delivery_admin.render_page(request, "console/deliveries/match.html", context)


def _possible_decisions(match: HeldMatch, taken: set[str]) -> list[tuple[str, str]]:
    choices = [
        (f"{_BIND}{candidate.record_id}", _("Link record %(record)s") % {"record": candidate.record_id})
        for candidate in match.candidates
        if candidate.record_id not in taken
    ]
    if match.mapped_fields:
        choices.append((MatchDecision.CREATE.value, _("Create a new record")))
    return [*choices, (MatchDecision.REFUSE.value, _("Reject the change: nothing is sent"))]


def _carry_out(
    request: HttpRequest, delivery: Delivery, form: MatchForm, back_url: str
) -> HttpResponseRedirect:
    answer = form.cleaned_data
    is_binding = answer["choice"].startswith(_BIND)
    decision = MatchDecision.BIND if is_binding else MatchDecision(answer["choice"])
    try:
        decide_match(
            delivery,
            decision,
            by=require_staff_user(request),
            reason=answer["reason"],
            key=answer["key"],
            record_id=answer["choice"].removeprefix(_BIND) if is_binding else "",
            address=client_address(request),
        )
    except AlreadyDecided as error:
        messages.warning(request, str(error))
    except DecisionRefused as error:
        messages.error(request, str(error))
        # The page shows what can be decided now.
        return redirect("admin:sync_delivery_match", delivery.pk)
    else:
        messages.success(request, str(_RESULTS[decision]))
    return redirect(back_url)
