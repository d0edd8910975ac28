"""List the steps that set up a hub before its first event."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from sync.models import Connection, ConnectionSide, MappingVersion, Route
from webhooks.models import Source


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One step. `link` is empty if the person may not do it."""

    name: str
    text: str
    is_done: bool
    link: str


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
    """Return the steps in the order in which they build on each other, by five statements."""
    sides = set(Connection.objects.values_list("side", flat=True).distinct())
    done = (
        ConnectionSide.IDENTITY in sides,
        ConnectionSide.TARGET in sides,
        MappingVersion.objects.exists(),
        Source.objects.exists(),
        Route.objects.exists(),
    )
    steps = [_setup_step(user, step, is_done) for step, is_done in zip(_STEPS, done, strict=True)]
    # Whoever sees this list has no event yet, so the last step is always open.
    return [
        *steps,
        SetupStep(
            _("Send the first webhook"),
            _("Change a person in the identity service. The event appears here within a minute."),
            is_done=False,
            link="",
        ),
    ]


def _setup_step(user: Any, step: _StepText, is_done: bool) -> SetupStep:
    label, _underscore, model_name = step.model.partition("_")
    may_add = user.has_perm(f"{label}.add_{model_name}")
    return SetupStep(
        _(step.name), _(step.text), is_done, reverse(f"admin:{step.model}_add") if may_add else ""
    )
