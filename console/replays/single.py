"""Replay one event: preview against the live systems, options, confirmation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.core import signing
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.codes.codes import CodeTexts
from console.base.audit_trail import client_address, record_action, request_actor
from console.base.forms import ReasonForm
from console.payloads.answer_messages import AnswerMessage, describe_errors, mask_values
from console.payloads.content import ChangeTable, planned_change_table
from console.payloads.reveal import revealed_events
from console.permissions import CONTENTS, MAY_UNDO
from console.ui.event_names import event_name
from console.ui.outcome_texts import (
    advise_after_cause,
    describe_code,
    explain_absent_entity,
    explain_outcome,
)
from console.ui.scope_texts import describe_change
from sync.deliveries.stored_webhook import has_webhook_data
from sync.deliveries.superseded import annotate_newer, is_outdated
from sync.models import Delivery, MappingVersion, PayloadChoice
from sync.operations.passed_causes import find_passed_causes
from sync.planning.change import Change, ChangeAction
from sync.replays.replay_preview import PlannedDelivery, first_mapping_version, preview_replay
from sync.replays.requests import ReplayOptions
from webhooks.models import Event, State

_SALT = "replay-of-one"
_TOKEN_SECONDS = 24 * 3600
_FAILED_STATES = (State.DEAD, State.RETRYING)
_CHANGE_SENTENCES = {
    ChangeAction.CREATE: gettext_lazy("A new record will be created."),
    ChangeAction.UPDATE: gettext_lazy("The record will be updated."),
    ChangeAction.DELETE: gettext_lazy("The record will be deleted."),
    ChangeAction.NOTHING: gettext_lazy(
        "Nothing to change: the record is already up to date, so nothing will be sent."
    ),
}


class ReplayChoiceForm(forms.Form):
    """The payload and the mapping version to use; read from the address, so that the preview shows them."""

    payload_choice = forms.ChoiceField(choices=PayloadChoice.choices, required=False)
    mapping = forms.ChoiceField(choices=[("", "now"), ("then", "then")], required=False)

    def to_choice(self) -> ReplayOptions:
        """Return the choice; unknown values mean the default."""
        cleaned = self.cleaned_data if self.is_valid() else {}
        return ReplayOptions(
            PayloadChoice(cleaned.get("payload_choice", "")), cleaned.get("mapping") == "then"
        )


@dataclass(frozen=True, slots=True)
class DeliveryPreview:
    """The effect on one delivery, in words. `change` and `messages` need view_contents; the values of `change` are
    masked until they are revealed.
    """

    system: str
    change_sentence: str
    fields: tuple[str, ...]
    change: ChangeTable | None
    version: MappingVersion | None
    problem: CodeTexts | None
    messages: tuple[AnswerMessage, ...]
    is_superseded: bool


def make_token(event: Event) -> str:
    """Return a signed token for a replay of this event, so that a double click or a reload starts nothing twice."""
    return signing.dumps([str(uuid4()), event.pk], salt=_SALT)


def read_token(token: str, event: Event) -> UUID | None:
    """Return the key in a token; None if it was made for another event, or has expired."""
    try:
        key, pk = signing.loads(token, salt=_SALT, max_age=_TOKEN_SECONDS)
    except signing.BadSignature:
        return None
    return UUID(key) if pk == event.pk else None


def single_replay_context(
    request: HttpRequest, event: Event, choice: ReplayOptions, form: ReasonForm
) -> dict[str, Any]:
    """Return the context of the page. The preview is computed now."""
    deliveries = list(
        annotate_newer(event.deliveries.select_related("identity", "target", "route")).order_by("pk")
    )
    planned = preview_replay(event, choice, request_actor(request), client_address(request))
    with_contents = request.user.has_perm(CONTENTS)
    is_masked = event.pk not in revealed_events(request)
    previews = [
        _delivery_preview(delivery, with_contents=with_contents, is_masked=is_masked) for delivery in planned
    ]
    if with_contents and not is_masked and any(preview.fields for preview in previews):
        # An entry of its own: the values are those of now, and the event was revealed for those from then.
        with transaction.atomic():
            record_action(request, event.stream, "preview.revealed")
    return {
        "title": _("Replay “%(kind)s” for %(entity)s?")
        % {"kind": event_name(event.event_type, event.entity_type), "entity": event.entity_id},
        "event": event,
        "previews": previews,
        "newer": _newer_applied_event(deliveries),
        "last_time": _last_failure(event, deliveries) if event.state in _FAILED_STATES else None,
        "choice": choice,
        "payload_options": _payload_options(event, deliveries, may_undo=request.user.has_perm(MAY_UNDO)),
        "then": _original_mapping_version(deliveries, planned)
        if not choice.uses_first_version
        else _preview_version(planned),
        "may_reveal": with_contents and is_masked and any(preview.fields for preview in previews),
        "would_do_nothing": bool(previews) and all(preview.is_superseded for preview in previews),
        "reason_form": form,
        "token": make_token(event),
    }


def _last_failure(event: Event, deliveries: Sequence[Delivery]) -> CodeTexts:
    """Return what the last attempt failed with, and its advice, unless the settings were changed since."""
    failed = [delivery for delivery in deliveries if delivery.code == event.code]
    passed = next(iter(find_passed_causes(failed).values()), None)
    return advise_after_cause(explain_outcome(event.state, event.code, _failed_system(deliveries)), passed)


def _failed_system(deliveries: Sequence[Delivery]) -> str:
    return next(
        (delivery.connection_of_code(delivery.code).name for delivery in deliveries if delivery.code), ""
    )


def may_use(request: HttpRequest, event: Event, choice: ReplayOptions) -> bool:
    """Return True if this person may replay with this choice: overwriting newer data needs a permission of its own."""
    return choice.payload_choice != PayloadChoice.ANYWAY or (
        request.user.has_perm(MAY_UNDO) and has_webhook_data(event)
    )


def _payload_options(
    event: Event, deliveries: Sequence[Any], *, may_undo: bool
) -> list[tuple[PayloadChoice, str]]:
    """Return the payloads that can be delivered; a single one if there is no choice."""
    is_relayed = bool(deliveries) and all(delivery.is_relayed for delivery in deliveries)
    default = _("Payload as received (this route relays it)") if is_relayed else _("Fetch the current data")
    options = [(PayloadChoice.AS_ROUTED, default)]
    if not has_webhook_data(event):
        return options
    if not is_relayed:
        options.append((PayloadChoice.RECEIVED, _("Payload as received")))
    if may_undo and any(map(is_outdated, deliveries)):
        options.append((PayloadChoice.ANYWAY, _("Payload as received, overwriting newer data")))
    return options


def _newer_applied_event(deliveries: Sequence[Any]) -> Event | None:
    """Return the newest event of the entity that was applied after this one."""
    keys = [delivery.newer for delivery in deliveries if delivery.newer is not None]
    return Event.objects.filter(pk=max(keys)).first() if keys else None


def _original_mapping_version(
    deliveries: Sequence[Delivery], planned: Sequence[PlannedDelivery]
) -> MappingVersion | None:
    """Return the mapping version of the first attempt, if it is not the newest version."""
    # Versions that the preview uses anyway are not alternatives.
    now = {delivery.version.pk for delivery in planned if delivery.version}
    versions = {
        version for delivery in deliveries if (version := first_mapping_version(delivery)) is not None
    } - now
    return MappingVersion.objects.select_related("mapping").filter(pk__in=versions).first()


def _preview_version(planned: Sequence[PlannedDelivery]) -> MappingVersion | None:
    return next((delivery.version for delivery in planned if delivery.version), None)


def _delivery_preview(planned: PlannedDelivery, *, with_contents: bool, is_masked: bool) -> DeliveryPreview:
    change, system = planned.change, planned.delivery.target.name
    return DeliveryPreview(
        system=system,
        change_sentence=_change_sentence(change, planned.delivery) if change else "",
        fields=tuple(field.name for field in change.fields) if change else (),
        change=planned_change_table(change, is_masked=is_masked) if change and with_contents else None,
        version=planned.version,
        problem=_preview_problem(planned) if change is None and not planned.is_superseded else None,
        messages=_answer_messages(planned, is_masked=is_masked) if with_contents else (),
        is_superseded=planned.is_superseded,
    )


def _change_sentence(change: Change, delivery: Delivery) -> str:
    if change.action is not ChangeAction.NOTHING or change.record_id or change.scope:
        return describe_change(change, _CHANGE_SENTENCES)
    words = explain_absent_entity(
        delivery.identity.name, delivery.target.name, is_left_alone=delivery.route.ignores_deletion
    )
    return f"{words.detail} {_('Nothing will be sent.')}"


def _preview_problem(planned: PlannedDelivery) -> CodeTexts:
    """Return why there is no preview, in the words of the catalogue or of this page."""
    if planned.code == "preview-late":
        return CodeTexts(_("The systems took too long to respond"), _("The preview timed out."), "")
    if planned.code == "preview-paused":
        return CodeTexts(
            _("The connection is failing"),
            _(
                "It failed repeatedly, so the hub does not call it, not even for previews. A replay "
                "waits until the connection has recovered."
            ),
            "",
        )
    return describe_code(planned.code, planned.delivery.connection_of_code(planned.code).name)


def _answer_messages(planned: PlannedDelivery, *, is_masked: bool) -> tuple[AnswerMessage, ...]:
    result = planned.result
    if result is None:
        return ()
    errors = ((error.field, error.code, error.detail or "") for error in result.errors)
    messages = describe_errors(planned.code, result.sentence or "", errors)
    # Nothing of the change is known here: a preview has a message where it has no change.
    return tuple(mask_values(message, ()) if is_masked else message for message in messages)
