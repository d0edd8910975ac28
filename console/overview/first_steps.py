"""List the steps that set up a hub before its first event."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from sync.models import Connection, ConnectionSide, MappingVersion, Route
from webhooks.models import Source


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One step. `link` is empty if the person may not do it."""

    name: str
    text: str
    is_done: bool
    link: str


def list_setup_steps(user: Any) -> list[SetupStep]:
    """Return the steps in the order in which they build on each other, by five statements."""
    sides = set(Connection.objects.values_list("side", flat=True).distinct())
    return [
        _setup_step(
            user,
            _("Connect the identity service"),
            _("Where the hub fetches entities, and with which credentials."),
            ConnectionSide.IDENTITY in sides,
            "sync_connection",
        ),
        _setup_step(
            user,
            _("Connect the target system"),
            _("Where the hub sends changes. Use the test on its page to check the connection."),
            ConnectionSide.TARGET in sides,
            "sync_connection",
        ),
        _setup_step(
            user,
            _("Map the fields"),
            _("Which entity field becomes which record field."),
            MappingVersion.objects.exists(),
            "sync_mapping",
        ),
        _setup_step(
            user,
            _("Add a source"),
            _(
                "Who sends webhooks, and how their signature is verified. The page of the source shows "
                "the endpoint."
            ),
            Source.objects.exists(),
            "webhooks_source",
        ),
        _setup_step(
            user,
            _("Create a route"),
            _("From the source through the mapping to the target system."),
            Route.objects.exists(),
            "sync_route",
        ),
        SetupStep(
            _("Send the first webhook"),
            _("Change a person in the identity service. The event appears here within a minute."),
            is_done=False,
            link="",
        ),
    ]


def _setup_step(user: Any, name: str, text: str, is_done: bool, model: str) -> SetupStep:
    label, _underscore, model_name = model.partition("_")
    may = user.has_perm(f"{label}.add_{model_name}")
    return SetupStep(name, text, is_done, reverse(f"admin:{model}_add") if may else "")
