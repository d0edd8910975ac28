"""The gate of a route's condition: who saves one has tried it, and knows how many linked entities leave.

`Route.clean` asks it, so it holds for each form, import and command that validates a route.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from database.clock import read_clock
from sync.models.condition_try import ConditionTry
from sync.models.job import JobState

if TYPE_CHECKING:
    from sync.models.route import Route

# A finished try counts so long.
TRY_SECONDS = 3_600
_PAIR_FIELDS = ("identity_id", "target_id", "entity_type")
_SCOPE_FIELDS = ("condition", "on_leaving", "identity_entity", *_PAIR_FIELDS)


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Whether a condition may be saved. `errors`: why not, by field. `tried`: the try that it relies on. `number`: how
    many linked entities leave, if it may be saved only by somebody who has entered this number.
    """

    errors: Mapping[str, Any] = field(default_factory=dict)
    tried: ConditionTry | None = None
    number: int | None = None


def find_gate_errors(route: "Route") -> dict[str, Any]:
    """Return why the scope of a route may not be saved, by field; empty if it may be.

    The number has to be in `confirmed_leaving`, unless the form asks for it later (`asks_for_number`).
    """
    decision = decide_gate(route)
    is_confirmed = route.asks_for_number or route.confirmed_leaving == decision.number
    if decision.number is None or is_confirmed:
        return dict(decision.errors)
    sentence = _("%(number)s linked entities leave the scope. This is saved only if their number is entered.")
    return {"condition": sentence % {"number": f"{decision.number:,}"}}


def decide_gate(route: "Route") -> GateDecision:
    """Compare the scope of a route with the stored one.

    1. Without a condition all entities are in scope. Nobody leaves it, so nothing has to be tried.
    2. A new route, and one that gets other systems, cannot be tried. It may have a condition at once if no entity of it
       has a linked record, which could leave.
    3. A changed condition needs a valid try, and the number of those who leave where that asks for it. So does another
       policy for those who leave, unless it leaves their records alone: it reaches those too who left before.
    """
    if not route.condition.strip():
        return GateDecision()
    before = type(route)._default_manager.filter(pk=route.pk).values(*_SCOPE_FIELDS).first()
    if before is None or any(before[name] != getattr(route, name) for name in _PAIR_FIELDS):
        return _decide_untriable(route)
    is_new_policy = route.on_leaving not in (before["on_leaving"], route.LeavingPolicy.LEAVE)
    if not is_new_policy and _is_same_scope(before, route):
        return GateDecision()
    return _decide_by_try(route, with_left=is_new_policy)


def newest_valid_try(route: "Route") -> ConditionTry | None:
    """Return the newest try that the condition of a route may rely on: of the same text over the same entities, ended
    within TRY_SECONDS. None if there is none.
    """
    tries = ConditionTry.objects.filter(
        route=route.pk,
        state=JobState.DONE,
        ended_at__gt=read_clock() - timedelta(seconds=TRY_SECONDS),
        condition=route.condition.strip(),
        identity=route.identity_id,
        target=route.target_id,
        entity_type=route.entity_type,
        identity_type=route.identity_type,
    )
    return tries.order_by("-pk").first()


def find_links(subject: "Route | ConditionTry") -> QuerySet[Any]:
    """Return the links of the entities of a route, or of a try, that have a record."""
    # Not imported: links are declared after routes.
    links: QuerySet[Any] = subject._meta.apps.get_model("sync", "Link")._default_manager.all()
    pair = {name: getattr(subject, name) for name in _PAIR_FIELDS}
    return links.filter(**pair).exclude(record_id="")


def _is_same_scope(before: dict[str, Any], route: "Route") -> bool:
    is_same_type: bool = (before["identity_entity"] or before["entity_type"]) == route.identity_type
    stored: str = before["condition"]
    return is_same_type and stored.strip() == route.condition.strip()


def _decide_untriable(route: "Route") -> GateDecision:
    if None in (route.identity_id, route.target_id) or not find_links(route).exists():
        return GateDecision()
    sentence = _(
        "Entities of this route have linked records already, and a condition can be tried only on a stored route. Save "
        "the route disabled and without a condition, try the condition, and add it then."
    )
    return GateDecision({"condition": sentence})


def _decide_by_try(route: "Route", *, with_left: bool) -> GateDecision:
    tried = newest_valid_try(route)
    if tried is not None:
        return GateDecision(tried=tried, number=tried.number_to_confirm(with_left=with_left))
    sentence = _(
        "Try this condition first: it can be saved within an hour after a finished try of the same text."
    )
    return GateDecision({"condition": sentence})
