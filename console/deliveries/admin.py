"""Decide on held deliveries: approve or close some or all of a route, or choose the record of one, with a reason."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.base.admin_pages import admin_page
from console.base.audit_trail import client_address, require_staff_user
from console.base.forms import ReasonField, ReasonForm, parse_uuid_or_none
from console.base.pending_store import PendingStore
from console.base.read_only_admin import ReadOnlyAdmin
from console.deliveries.held_groups import describe_held, held_deliveries, list_held_groups
from console.deliveries.match_decision import is_match_held, render_match_page
from console.payloads.reveal import revealed_events
from console.permissions import CONTENTS, MAY_APPROVE
from sync.attempts.absence import OWNER_HELD_CODE
from sync.models import MATCH_HELD_CODE, Delivery, PersonRequest, Route
from sync.operations.held_deliveries import (
    MAX_DELIVERIES,
    AlreadyDecided,
    DecisionRefused,
    DecisionResult,
    HeldDecision,
    decide_held,
)

MAX_LISTED = 100
_MAX_SHOWN = 20
_LIST = "admin:sync_delivery_changelist"
_DECISION_RESULTS = {
    HeldDecision.APPROVE: gettext_lazy("%(deliveries)s approved."),
    HeldDecision.CLOSE: gettext_lazy("%(deliveries)s rejected."),
}


# The selected deliveries, fixed until the page confirms them. The key becomes that of the decision, which the database
# accepts once.
PENDING_DECISIONS = PendingStore("held_choices", max_values=10)


@dataclass(frozen=True, slots=True)
class PendingDecision:
    """Keys of deliveries, and the decision to be confirmed for them."""

    decision: HeldDecision
    deliveries: tuple[int, ...]


class HeldDecisionForm(forms.Form):
    """The decision, and the deliveries of one route that it is for."""

    decision = forms.ChoiceField(choices=[(decision.value, decision.name) for decision in HeldDecision])
    everything = forms.BooleanField(required=False)
    chosen = forms.TypedMultipleChoiceField(coerce=int, required=False)


@admin.register(Delivery)
class HeldDeliveryAdmin(ReadOnlyAdmin):
    """Lists deliveries that are held for approval. All other facts of a delivery are on the page of its event."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        self.require_permissions(request)
        groups = list_held_groups(
            with_contents=request.user.has_perm(CONTENTS), revealed=revealed_events(request)
        )
        context = {"title": _("Held for approval"), "groups": groups}
        return self.render_page(request, "console/deliveries/held_list.html", context)

    def render_detail(self, request: HttpRequest, row: Delivery) -> HttpResponse:
        """Redirect to the event's page, which shows the delivery."""
        return redirect("admin:webhooks_event_change", row.event_id)

    @admin_page("route/<int:pk>/", "route")
    def route_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """List the held deliveries of one route. A POST leads on to the page that confirms the decision."""
        self.require_permissions(request)
        route = get_object_or_404(Route.objects.select_related("source", "target"), pk=pk)
        if request.method == "POST":
            return self._store_selection(request, route)
        waiting = held_deliveries().filter(route=route)
        matches, waiting = waiting.filter(code=MATCH_HELD_CODE), waiting.exclude(code=MATCH_HELD_CODE)
        may_see = request.user.has_perm(CONTENTS)
        rows = describe_held(waiting[:MAX_LISTED], with_contents=may_see, revealed=revealed_events(request))
        context = {
            "title": _("Held for approval: %(route)s") % {"route": route},
            "route": route,
            "rows": rows,
            "is_uncertain": any(held.reason for held in rows),
            "count": waiting.count(),
            "matches": describe_held(matches[:MAX_LISTED], with_contents=False),
            "matches_count": matches.count(),
        }
        return self.render_page(
            request, "console/deliveries/held_route.html", context | {"largest": MAX_DELIVERIES}
        )

    def _store_selection(self, request: HttpRequest, route: Route) -> HttpResponseRedirect:
        self.require_permissions(request, MAY_APPROVE)
        form = HeldDecisionForm(request.POST)
        of_route = held_deliveries().filter(route=route).exclude(code=MATCH_HELD_CODE)
        waiting = of_route.values_list("pk", flat=True)
        # Only deliveries that are still held can be chosen.
        form.fields["chosen"].choices = [(key, key) for key in waiting[:MAX_DELIVERIES]]  # type: ignore[attr-defined]
        keys: list[int] = []
        if form.is_valid():
            answer = form.cleaned_data
            keys = list(waiting[:MAX_DELIVERIES]) if answer["everything"] else answer["chosen"]
        if not keys:
            messages.error(request, _("Select deliveries that are still held."))
            return redirect("admin:sync_delivery_route", route.pk)
        return redirect(
            "admin:sync_delivery_decide",
            PENDING_DECISIONS.add(request, [form.cleaned_data["decision"], keys]),
        )

    @admin_page("<int:pk>/record/", "match")
    def match_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the records found for a held entity. A POST decides which of them belongs to it."""
        self.require_permissions(request, *([MAY_APPROVE] if request.method == "POST" else []))
        related = ("event", "target", "covered_by__findings__subject")
        delivery = get_object_or_404(Delivery.objects.select_related(*related), pk=pk)
        if not is_match_held(delivery):
            # The key is the UUID of the decision: if the decision exists, this is a second click.
            key = parse_uuid_or_none(request.POST.get("key", ""))
            is_decided = key is not None and PersonRequest.objects.filter(uuid=key).exists()
            decided = _("This was already decided. Nothing was done twice.")
            messages.warning(request, decided if is_decided else _("This delivery is no longer held."))
            return redirect("admin:webhooks_event_change", delivery.event_id)
        return render_match_page(self, request, delivery)

    @admin_page("decide/<uuid:key>/", "decide")
    def decide_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Show the effect of the decision. A POST with a reason carries it out."""
        self.require_permissions(request, MAY_APPROVE)
        choice = _pending_decision(request, key)
        if choice is None:
            return self._redirect_used_up(request, key)
        field = ReasonField(label=_("Reason (stored with the decision)"))
        form = ReasonForm(request.POST or None, field=field)
        if request.method == "POST" and form.is_valid():
            return self._carry_out(request, key, choice, form.cleaned_data["reason"])
        return self.render_page(
            request, "console/deliveries/decide.html", _confirmation_context(key, choice, form)
        )

    def _carry_out(
        self, request: HttpRequest, key: UUID, choice: PendingDecision, reason: str
    ) -> HttpResponseRedirect:
        try:
            decided = decide_held(
                choice.deliveries,
                choice.decision,
                by=require_staff_user(request),
                reason=reason,
                key=key,
                address=client_address(request),
            )
        except AlreadyDecided as error:
            messages.warning(request, str(error))
        except DecisionRefused as error:
            messages.error(request, str(error))
            # The selection stays, so that the person can decide again.
            return redirect("admin:sync_delivery_decide", key)
        else:
            messages.success(request, _result_message(choice.decision, decided))
        PENDING_DECISIONS.remove(request, key)
        return redirect(_LIST)

    def _redirect_used_up(self, request: HttpRequest, key: UUID) -> HttpResponseRedirect:
        # The key is the UUID of the decision: if the decision exists, this is a second click.
        if PersonRequest.objects.filter(uuid=key, requested_by=require_staff_user(request).pk).exists():
            messages.warning(request, _("This was already decided. Nothing was done twice."))
        else:
            messages.error(request, _("Your selection has expired. Select the deliveries again."))
        return redirect(_LIST)

    def template_permissions(self, request: HttpRequest) -> dict[str, bool]:
        return {
            "approve": request.user.has_perm(MAY_APPROVE),
            "contents": request.user.has_perm(CONTENTS),
        }


def _pending_decision(request: HttpRequest, key: UUID) -> PendingDecision | None:
    """Return the decision; None if this person stored none under that key, or has used it."""
    values = PENDING_DECISIONS.get(request, key)
    return None if values is None else PendingDecision(HeldDecision(values[0]), tuple(values[1]))


def _confirmation_context(key: UUID, choice: PendingDecision, form: ReasonForm) -> dict[str, Any]:
    chosen = held_deliveries().filter(pk__in=choice.deliveries)
    codes = list(chosen.values_list("code", flat=True))
    rows, count = list(chosen.select_related("event__source", "target")[:_MAX_SHOWN]), len(codes)
    is_approval = choice.decision is HeldDecision.APPROVE
    text = _("Approve %(deliveries)s") if is_approval else _("Reject %(deliveries)s")
    label = text % {"deliveries": _count_text(count)}
    return {
        "title": f"{label}?" if count else _("None of these deliveries is held anymore"),
        "button": label,
        "is_approval": is_approval,
        "key": key,
        "rows": rows,
        "count": count,
        "doubtful_count": codes.count(OWNER_HELD_CODE),
        "more": count - len(rows),
        "reason_form": form,
    }


def _count_text(count: int) -> str:
    return ngettext("%(number)s delivery", "%(number)s deliveries", count) % {"number": f"{count:,}"}


def _result_message(decision: HeldDecision, decided: DecisionResult) -> str:
    text = str(_DECISION_RESULTS[decision]) % {"deliveries": _count_text(len(decided.deliveries))}
    if not decided.skipped_count:
        return text
    return f"{text} {_('No longer held: %(number)s.') % {'number': f'{decided.skipped_count:,}'}}"
