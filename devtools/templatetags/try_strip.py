"""The strip *Try* on the overview."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.urls import reverse
from django.utils.translation import gettext as _

from console.permissions import MAY_EXPORT, MAY_REPLAY, SEE_DIFFERENCES, may_find_by_value
from devtools.sandbox_setup import SIGNED
from devtools.try_strip.stand_ins import is_connected
from sync.models import Route

register = template.Library()


@dataclass(frozen=True, slots=True)
class TryStep:
    """One step. `is_button`: it is a POST. `address` is empty for who may not do it: `role` says who may."""

    name: str
    address: str
    is_button: bool = True
    role: str = ""


@register.inclusion_tag("devtools/_try_strip.html", takes_context=True)
def try_strip(context: Any) -> dict[str, Any]:
    """Render the steps; nothing if the hub is not connected to the stand-in systems."""
    request = context["request"]
    route = Route.objects.filter(source__slug=SIGNED, entity_type="USER").first() if is_connected() else None
    steps = list_steps(request.user, route) if route is not None else []
    return {"steps": steps, "csrf_token": context["csrf_token"]}


def list_steps(user: Any, route: Route) -> list[TryStep]:
    """Return the steps in their order. Those that this person may not do have no address."""
    may_find = bool(may_find_by_value(user))
    compare = (
        reverse("admin:sync_comparison_route", args=[route.pk]) if user.has_perm(SEE_DIFFERENCES) else ""
    )
    export = reverse("admin:exports_export_new") if user.has_perm(MAY_EXPORT) else ""
    return [
        TryStep(_("Change Anna"), reverse("try", args=["change"])),
        TryStep(_("Break the shop"), reverse("try", args=["break"])),
        TryStep(_("Find her by e-mail"), reverse("try", args=["find"]) if may_find else "", role="support"),
        TryStep(
            _("Replay"), reverse("try", args=["replay"]) if user.has_perm(MAY_REPLAY) else "", role="support"
        ),
        TryStep(_("Compare"), compare, is_button=False, role="support"),
        TryStep(_("Export and verify"), export, is_button=False, role="auditor"),
    ]
