"""List the steps that set up a hub before its first event."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from console.pairs.access import may_connect
from sync.models import Comparison, ComparisonState, PairDraft, Route
from sync.pairs.drafts import open_drafts


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One step. `link` is empty if the person may not do it."""

    name: str
    text: str
    is_done: bool
    link: str
    button: str = ""


def list_setup_steps(user: Any) -> list[SetupStep]:
    """Return the steps in the order in which they build on each other, by at most five statements."""
    has_route = Route.objects.exists()
    may = may_connect(user)
    first = SetupStep(
        _("Connect systems"),
        _(
            "Choose the sender and the target, and enter their addresses and credentials. The hub tests both, and "
            "creates the source, the connections, the mapping and the route."
        ),
        has_route,
        reverse("admin:pairs") if may else "",
        _("Resume…") if may and open_drafts().filter(owner=user.pk).exists() else _("Connect…"),
    )
    # Whoever sees this list has no event yet, so this step is always open.
    waiting = PairDraft.objects.filter(owner=user.pk).exclude(route=None).first() if has_route else None
    first_webhook = SetupStep(
        _("Send the first webhook"),
        _(
            "Change a person in the identity service. The event appears here within a minute. A new route observes: it "
            "plans and records the change, and writes nothing."
        ),
        is_done=False,
        link=reverse("admin:pair_created", args=[waiting.uuid]) if waiting is not None and may else "",
        button=_("Set up the sender…"),
    )
    return [first, first_webhook, *_last_steps(user)]


def _last_steps(user: Any) -> list[SetupStep]:
    """Return the two steps that begin on the page of the oldest route that observes."""
    observing = Route.objects.filter(mode=Route.Mode.OBSERVE).order_by("pk").first()
    has_live = Route.objects.filter(mode=Route.Mode.LIVE).exists()
    is_compared = Comparison.objects.filter(state=ComparisonState.DONE).exists()
    may_change = observing is not None and user.has_perm("sync.change_route")
    link = reverse("admin:sync_route_live", args=[observing.pk]) if observing and may_change else ""
    return [
        SetupStep(
            _("Compare"),
            _("The hub reads both systems and shows what the route would do with what exists already."),
            is_compared,
            link,
            _("Compare…"),
        ),
        SetupStep(
            _("Go live"),
            _(
                "The route writes to the target system from then on. Existing records can be made equal at a pace."
            ),
            has_live,
            link,
            _("Go live…"),
        ),
    ]
