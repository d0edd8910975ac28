"""Replay of one event: what it would do, told against the live systems; the choices; the confirmation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.core import signing
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.audit_trail import client_address, request_actor
from console.base.forms import ReasonForm
from console.payloads.content import ChangeTable, FieldRow, format_value
from console.permissions import CONTENTS, MAY_UNDO
from console.ui.outcome_texts import describe_code, explain_absent_entity, explain_outcome
from sync.deliveries.stored_webhook import has_carried_data
from sync.deliveries.superseded import is_outdated, with_newer
from sync.models import Delivery, MappingVersion, Takes
from sync.planning.change import Change, ChangeAction
from sync.replays.preview import Foreseen, preview, version_then
from sync.replays.requests import Choice
from webhooks.catalogue.codes import Words
from webhooks.models import Event, State

_SALT = "replay-of-one"
_TOKEN_SECONDS = 24 * 3600
_FAILED_STATES = (State.DEAD, State.RETRYING)
_CHANGE_SENTENCES = {
    ChangeAction.CREATE: gettext_lazy("A new record will be created."),
    ChangeAction.UPDATE: gettext_lazy("The record will be updated."),
    ChangeAction.DELETE: gettext_lazy("The record will be deleted."),
    ChangeAction.NOTHING: gettext_lazy(
        "Nothing would change: the record is right already, and nothing will be sent."
    ),
}


class ReplayChoiceForm(forms.Form):
    """What is delivered, and with which mapping; from the address of the page, so that the preview shows it."""

    takes = forms.ChoiceField(choices=Takes.choices, required=False)
    mapping = forms.ChoiceField(choices=[("", "now"), ("then", "then")], required=False)

    def to_choice(self) -> Choice:
        """Words that mean nothing mean the default."""
        given = self.cleaned_data if self.is_valid() else {}
        return Choice(Takes(given.get("takes", "")), given.get("mapping") == "then")


@dataclass(frozen=True, slots=True)
class DeliveryPreview:
    """What one delivery would do, in words. `change` and what the other system said need view_contents."""

    system: str
    change_sentence: str
    fields: tuple[str, ...]
    change: ChangeTable | None
    version: MappingVersion | None
    problem: Words | None
    messages: tuple[str, ...]
    is_superseded: bool


def make_token(event: Event) -> str:
    """Names a replay of this event before it is begun: a double click or a reload begins nothing twice."""
    return signing.dumps([str(uuid4()), event.pk], salt=_SALT)


def read_token(token: str, event: Event) -> UUID | None:
    """The key of that replay; None where the page was made for another event, or too long ago."""
    try:
        key, pk = signing.loads(token, salt=_SALT, max_age=_TOKEN_SECONDS)
    except signing.BadSignature:
        return None
    return UUID(key) if pk == event.pk else None


def single_replay_context(
    request: HttpRequest, event: Event, choice: Choice, form: ReasonForm
) -> dict[str, Any]:
    """The context of the page: the preview is computed now."""
    deliveries = list(
        with_newer(event.deliveries.select_related("identity", "commercial", "route")).order_by("pk")
    )
    foreseen = preview(event, choice, request_actor(request), client_address(request))
    with_contents = request.user.has_perm(CONTENTS)
    told = [_delivery_preview(each, with_contents=with_contents) for each in foreseen]
    return {
        "title": _("Replay %(kind)s for %(entity)s?")
        % {"kind": f"{event.event_type} {event.entity_type}", "entity": event.entity_id},
        "event": event,
        "told": told,
        "newer": _newer_applied_event(deliveries),
        "last_time": explain_outcome(event.state, event.code, _failed_system(deliveries))
        if event.state in _FAILED_STATES
        else None,
        "choice": choice,
        "takes": _payload_options(event, deliveries, may_undo=request.user.has_perm(MAY_UNDO)),
        "then": _original_mapping_version(deliveries, foreseen)
        if not choice.maps_as_then
        else _preview_version(foreseen),
        "may_see": with_contents,
        "would_do_nothing": bool(told) and all(each.is_superseded for each in told),
        "reason_form": form,
        "token": make_token(event),
    }


def _failed_system(deliveries: Sequence[Delivery]) -> str:
    """Where it failed, by name."""
    return next((each.system_of(each.code).name for each in deliveries if each.code), "")


def may_use(request: HttpRequest, event: Event, choice: Choice) -> bool:
    """Whether this person may replay so: over newer data takes a permission of its own."""
    return choice.takes != Takes.ANYWAY or (request.user.has_perm(MAY_UNDO) and has_carried_data(event))


def _payload_options(event: Event, deliveries: Sequence[Any], *, may_undo: bool) -> list[tuple[Takes, str]]:
    """What can be chosen to be delivered; one entry where there is no choice."""
    is_relayed = bool(deliveries) and all(each.is_relayed for each in deliveries)
    default = (
        _("The payload as received: this route relays it") if is_relayed else _("The entity, fetched afresh")
    )
    found = [(Takes.AS_ROUTED, default)]
    if not has_carried_data(event):
        return found
    if not is_relayed:
        found.append((Takes.RECEIVED, _("The payload as received")))
    if may_undo and any(map(is_outdated, deliveries)):
        found.append((Takes.ANYWAY, _("The payload as received, over newer data")))
    return found


def _newer_applied_event(deliveries: Sequence[Any]) -> Event | None:
    """The newest event of the entity that was applied after this one."""
    keys = [each.newer for each in deliveries if each.newer is not None]
    return Event.objects.filter(pk=max(keys)).first() if keys else None


def _original_mapping_version(
    deliveries: Sequence[Delivery], foreseen: Sequence[Foreseen]
) -> MappingVersion | None:
    """The version of the first attempt, where it is another than the newest."""
    now = {each.version.pk for each in foreseen if each.version}
    versions = {version for each in deliveries if (version := version_then(each)) is not None} - now
    return MappingVersion.objects.select_related("mapping").filter(pk__in=versions).first()


def _preview_version(foreseen: Sequence[Foreseen]) -> MappingVersion | None:
    return next((each.version for each in foreseen if each.version), None)


def _delivery_preview(foreseen: Foreseen, *, with_contents: bool) -> DeliveryPreview:
    change, system = foreseen.change, foreseen.delivery.commercial.name
    return DeliveryPreview(
        system=system,
        change_sentence=_change_sentence(change, foreseen.delivery) if change else "",
        fields=tuple(each.name for each in change.fields) if change else (),
        change=_change_table(change) if change and with_contents else None,
        version=foreseen.version,
        problem=_preview_problem(foreseen) if change is None and not foreseen.is_superseded else None,
        messages=_answer_messages(foreseen) if with_contents else (),
        is_superseded=foreseen.is_superseded,
    )


def _change_sentence(change: Change, delivery: Delivery) -> str:
    if change.action is not ChangeAction.NOTHING or change.record_id:
        return str(_CHANGE_SENTENCES[change.action])
    found = explain_absent_entity(
        delivery.identity.name, delivery.commercial.name, is_left_alone=delivery.route.ignores_gone
    )
    return f"{found.detail} {_('Nothing will be sent.')}"


def _change_table(change: Change) -> ChangeTable:
    rows = (
        FieldRow(each.name, format_value(each.before), format_value(each.after)) for each in change.fields
    )
    same = ((name, format_value(value)) for name, value in change.unchanged_fields)
    return ChangeTable(str(change.action), tuple(rows), tuple(same))


def _preview_problem(foreseen: Foreseen) -> Words:
    """Why there is no preview, in the catalogue's words and our own."""
    if foreseen.code == "preview-late":
        return Words(_("The systems took too long to answer"), _("The preview stopped waiting."), "")
    if foreseen.code == "preview-paused":
        return Words(
            _("The connection is paused"),
            _("It did not work lately and is left alone, by previews too. What is replayed waits for it."),
            "",
        )
    return describe_code(foreseen.code, foreseen.delivery.system_of(foreseen.code).name)


def _answer_messages(foreseen: Foreseen) -> tuple[str, ...]:
    verdict = foreseen.verdict
    if verdict is None:
        return ()
    return tuple(
        text
        for text in (
            verdict.sentence,
            *(f"{each.field}: {each.detail and _(each.detail)}" for each in verdict.errors),
        )
        if text
    )
