"""ModelAdmin of routes, as far as it saves their scope: what was tried is filled in, confirmed, and recorded."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from console.base.audit_trail import reason_details, record_action
from console.base.forms import ReasonForm, parse_uuid_or_none
from console.base.two_step_change import TwoStepChangeAdmin
from console.settings.routes.condition import TRY_PARAMETER, fill_in_condition
from console.settings.routes.scope_forms import LeavingForm
from sync.models import GateDecision, Route, decide_gate


class RouteScopeAdmin(TwoStepChangeAdmin):
    """Base admin of routes. Saving a condition under which many linked entities leave asks for their number."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Return the route; with the condition of a try, if the page was opened from it."""
        route = super().get_object(request, object_id, from_field)
        key = parse_uuid_or_none(request.GET.get(TRY_PARAMETER, "")) if request.method == "GET" else None
        if route is not None and key is not None and fill_in_condition(route, key):
            messages.info(
                request, _("The condition that you tried is filled in below. Save the route to use it.")
            )
        return route

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        route = kwargs.get("obj")
        if route is not None and not route.relays:
            address = reverse("admin:sync_route_condition", args=[route.pk])
            context["other_button"] = {"address": address, "label": _("Try the condition…")}
        return super().render_change_form(request, context, *args, **kwargs)

    def confirmation_form(self, request: HttpRequest, form: Any) -> ReasonForm:
        number = decide_gate(form.instance).number
        if number is None:
            return super().confirmation_form(request, form)
        return LeavingForm(request.POST or None, number=number)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = Route.objects.filter(pk=obj.pk).values_list("condition", "on_leaving").first()
        decision = decide_gate(obj)
        super().save_model(request, obj, form, change)
        if (before or ("", Route.LeavingPolicy.LEAVE)) != (obj.condition, obj.on_leaving):
            self._record_scope(request, obj, before, decision)

    def _record_scope(
        self, request: HttpRequest, route: Route, before: tuple[str, str] | None, decision: GateDecision
    ) -> None:
        """Append the changed scope to what the route may do, with what its try found."""
        condition, on_leaving = before or ("", "")
        details: dict[str, Any] = {
            "before": {"condition": condition, "on_leaving": on_leaving},
            "after": {"condition": route.condition, "on_leaving": route.on_leaving},
        }
        if decision.tried is not None:
            details |= {"try": str(decision.tried.uuid), "counts": dict(decision.tried.counts)}
            details["leaving"] = decision.tried.count_leaving()
        if decision.number is not None:
            details["confirmed"] = decision.number
        record_action(
            request, f"route:{route.pk}", "route.condition-changed", details | reason_details(request)
        )
