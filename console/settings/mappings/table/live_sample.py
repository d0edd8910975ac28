"""A sample that is fetched now by its id. The audit log says who fetched whom, before the request is sent."""

import json
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

from console.base.audit_trail import record_action
from console.base.forms import ReasonField, ReasonForm
from console.payloads.content import MAX_SHOWN_BYTES
from console.payloads.masking import mask_value
from console.permissions import CONTENTS, MAY_COMPARE
from console.ui.outcome_texts import describe_code
from logins.fresh_login import require_fresh_login
from sync.models import Mapping, Route
from sync.previews.live_entity import LiveEntity, fetch_live_entity
from webhooks.made_events import MAX_ENTITY_ID
from webhooks.models import is_erased, pseudonym

ACTION = "mapping.sample-fetched"


@dataclass(frozen=True, slots=True)
class FetchedSample:
    """The text of a fetched entity; without it, `problem` says why. A person who may not see contents, or gave no
    reason, gets it masked.
    """

    text: str = ""
    problem: str = ""


def fetch_sample(request: HttpRequest, mapping: Mapping, route: Route, entity_id: str) -> FetchedSample:
    """Fetch an entity of a route for the posted form. Raises PermissionDenied and FreshLoginNeeded."""
    if not 0 < len(entity_id) <= MAX_ENTITY_ID or not entity_id.isprintable() or is_erased(entity_id):
        return FetchedSample(
            problem=_("Enter the id of an entity, at most %(most)s characters.") % {"most": MAX_ENTITY_ID}
        )
    if route.identity.paused_at is not None or not route.identity.is_enabled:
        return FetchedSample(problem=_("%(system)s is paused or disabled.") % {"system": route.identity.name})
    reason = _read_reason(request)
    shows_values = bool(reason) and request.user.has_perm(CONTENTS)
    if shows_values:
        require_fresh_login(request)
    details: dict[str, Any] = {
        "connection": route.identity.slug,
        "subject": pseudonym(route.source_id, route.entity_type, entity_id),
        "values": shows_values,
        **({"reason": reason} if reason else {}),
    }
    with transaction.atomic():
        record_action(request, mapping.stream, ACTION, details)
    return _describe(
        fetch_live_entity(route.identity, route.identity_type, entity_id), route, is_masked=not shows_values
    )


def may_fetch(request: HttpRequest) -> bool:
    """Return True if this person may have the hub fetch an entity now."""
    return request.user.has_perm(MAY_COMPARE)


def _read_reason(request: HttpRequest) -> str:
    form = ReasonForm(request.POST, field=ReasonField(min_length=3, max_length=200))
    return str(form.cleaned_data["reason"]) if form.is_valid() else ""


def _describe(found: LiveEntity, route: Route, *, is_masked: bool) -> FetchedSample:
    if found.code:
        return FetchedSample(problem=_problem(found.code, route))
    if found.attributes is None:
        return FetchedSample(
            problem=_("%(system)s does not have this entity.") % {"system": route.identity.name}
        )
    shown = mask_value(found.attributes) if is_masked else found.attributes
    text = json.dumps(shown, indent=2, ensure_ascii=False)
    if len(text.encode("utf-8", "backslashreplace")) > MAX_SHOWN_BYTES:
        return FetchedSample(problem=_("The entity is too large to be shown here."))
    return FetchedSample(text)


def _problem(code: str, route: Route) -> str:
    if code == "preview-late":
        return _("%(system)s took too long to respond. Try again later.") % {"system": route.identity.name}
    if code == "preview-paused":
        return _("%(system)s failed repeatedly, so the hub does not call it.") % {
            "system": route.identity.name
        }
    return describe_code(code, route.identity.name).title
