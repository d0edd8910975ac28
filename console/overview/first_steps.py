"""List the steps that set up a hub before its first event."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from sync.models import Comparison, ComparisonState, Connection, ConnectionSide, MappingVersion, Route
from webhooks.models import Source


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One step. `link` is empty if the person may not do it."""

    name: str
    text: str
    is_done: bool
    link: str
    button: str = ""


@dataclass(frozen=True, slots=True)
class _StepText:
    """The texts of a step whose first object is added in the console: of the model `model`, as `app_model`."""

    name: str
    text: str
    model: str


_STEPS = (
    _StepText(
        gettext_noop("Connect the identity service"),
        gettext_noop("Where the hub fetches entities, and with which credentials."),
        "sync_connection",
    ),
    _StepText(
        gettext_noop("Connect the target system"),
        gettext_noop("Where the hub sends changes. Use the test on its page to check the connection."),
        "sync_connection",
    ),
    _StepText(
        gettext_noop("Map the fields"),
        gettext_noop("Which entity field becomes which record field."),
        "sync_mapping",
    ),
    _StepText(
        gettext_noop("Add a source"),
        gettext_noop(
            "Which system sends webhooks, and how their signature is verified. The page of the source shows the "
            "endpoint."
        ),
        "webhooks_source",
    ),
    _StepText(
        gettext_noop("Create a route"),
        gettext_noop("From the source through the mapping to the target system."),
        "sync_route",
    ),
)


def list_setup_steps(user: Any) -> list[SetupStep]:
    """Return the steps in the order in which they build on each other, by seven statements."""
    sides = set(Connection.objects.values_list("side", flat=True).distinct())
    done = (
        ConnectionSide.IDENTITY in sides,
        ConnectionSide.TARGET in sides,
        MappingVersion.objects.exists(),
        Source.objects.exists(),
        Route.objects.exists(),
    )
    steps = [_setup_step(user, step, is_done) for step, is_done in zip(_STEPS, done, strict=True)]
    # Whoever sees this list has no event yet, so this step is always open.
    first_webhook = SetupStep(
        _("Send the first webhook"),
        _(
            "Change a person in the identity service. The event appears here within a minute. A new route observes: it "
            "plans and records the change, and writes nothing."
        ),
        is_done=False,
        link="",
    )
    return [*steps, first_webhook, *_last_steps(user)]


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


def _setup_step(user: Any, step: _StepText, is_done: bool) -> SetupStep:
    label, _underscore, model_name = step.model.partition("_")
    may_add = user.has_perm(f"{label}.add_{model_name}")
    return SetupStep(
        _(step.name),
        _(step.text),
        is_done,
        reverse(f"admin:{step.model}_add") if may_add else "",
        _("Add…"),
    )
