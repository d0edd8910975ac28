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
_LASTS = 24 * 3600
_UNHAPPY = (State.DEAD, State.RETRYING)
_VERBS = {
    ChangeAction.CREATE: gettext_lazy("A new record will be created."),
    ChangeAction.UPDATE: gettext_lazy("The record will be updated."),
    ChangeAction.DELETE: gettext_lazy("The record will be deleted."),
    ChangeAction.NOTHING: gettext_lazy(
        "Nothing would change: the record is right already, and nothing will be sent."
    ),
}


class ChoiceForm(forms.Form):
    """What is delivered, and with which mapping; from the address of the page, so that the preview shows it."""

    takes = forms.ChoiceField(choices=Takes.choices, required=False)
    mapping = forms.ChoiceField(choices=[("", "now"), ("then", "then")], required=False)

    def choice(self) -> Choice:
        """Words that mean nothing mean the default."""
        given = self.cleaned_data if self.is_valid() else {}
        return Choice(Takes(given.get("takes", "")), given.get("mapping") == "then")


@dataclass(frozen=True, slots=True)
class Told:
    """What one delivery would do, in words. `change` and what the other system said need view_contents."""

    system: str
    verb: str
    fields: tuple[str, ...]
    change: ChangeTable | None
    version: MappingVersion | None
    problem: Words | None
    said: tuple[str, ...]
    is_superseded: bool


def token_of(event: Event) -> str:
    """Names a replay of this event before it is begun: a double click or a reload begins nothing twice."""
    return signing.dumps([str(uuid4()), event.pk], salt=_SALT)


def key_of(token: str, event: Event) -> UUID | None:
    """The key of that replay; None where the page was made for another event, or too long ago."""
    try:
        key, pk = signing.loads(token, salt=_SALT, max_age=_LASTS)
    except signing.BadSignature:
        return None
    return UUID(key) if pk == event.pk else None


def one_page(request: HttpRequest, event: Event, choice: Choice, form: ReasonForm) -> dict[str, Any]:
    """The context of the page: the preview is computed now."""
    deliveries = list(
        with_newer(event.deliveries.select_related("identity", "commercial", "route")).order_by("pk")
    )
    foreseen = preview(event, choice, request_actor(request), client_address(request))
    with_contents = request.user.has_perm(CONTENTS)
    told = [_told(each, with_contents=with_contents) for each in foreseen]
    return {
        "title": _("Replay %(kind)s for %(entity)s?")
        % {"kind": f"{event.event_type} {event.entity_type}", "entity": event.entity_id},
        "event": event,
        "told": told,
        "newer": _newer(deliveries),
        "last_time": explain_outcome(event.state, event.code, _system(deliveries))
        if event.state in _UNHAPPY
        else None,
        "choice": choice,
        "takes": _takes(event, deliveries, may_undo=request.user.has_perm(MAY_UNDO)),
        "then": _then(deliveries, foreseen) if not choice.maps_as_then else _version(foreseen),
        "may_see": with_contents,
        "would_do_nothing": bool(told) and all(each.is_superseded for each in told),
        "reason_form": form,
        "token": token_of(event),
    }


def _system(deliveries: Sequence[Delivery]) -> str:
    """Where it failed, by name."""
    return next((each.system_of(each.code).name for each in deliveries if each.code), "")


def may_choose(request: HttpRequest, event: Event, choice: Choice) -> bool:
    """Whether this person may replay so: over newer data takes a permission of its own."""
    return choice.takes != Takes.ANYWAY or (request.user.has_perm(MAY_UNDO) and has_carried_data(event))


def _takes(event: Event, deliveries: Sequence[Any], *, may_undo: bool) -> list[tuple[Takes, str]]:
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


def _newer(deliveries: Sequence[Any]) -> Event | None:
    """The newest event of the entity that was applied after this one."""
    keys = [each.newer for each in deliveries if each.newer is not None]
    return Event.objects.filter(pk=max(keys)).first() if keys else None


def _then(deliveries: Sequence[Delivery], foreseen: Sequence[Foreseen]) -> MappingVersion | None:
    """The version of the first attempt, where it is another than the newest."""
    now = {each.version.pk for each in foreseen if each.version}
    versions = {version for each in deliveries if (version := version_then(each)) is not None} - now
    return MappingVersion.objects.select_related("mapping").filter(pk__in=versions).first()


def _version(foreseen: Sequence[Foreseen]) -> MappingVersion | None:
    return next((each.version for each in foreseen if each.version), None)


def _told(foreseen: Foreseen, *, with_contents: bool) -> Told:
    change, system = foreseen.change, foreseen.delivery.commercial.name
    return Told(
        system=system,
        verb=_verb(change, foreseen.delivery) if change else "",
        fields=tuple(each.name for each in change.fields) if change else (),
        change=_table(change) if change and with_contents else None,
        version=foreseen.version,
        problem=_problem(foreseen) if change is None and not foreseen.is_superseded else None,
        said=_said(foreseen) if with_contents else (),
        is_superseded=foreseen.is_superseded,
    )


def _verb(change: Change, delivery: Delivery) -> str:
    if change.action is not ChangeAction.NOTHING or change.record_id:
        return str(_VERBS[change.action])
    found = explain_absent_entity(
        delivery.identity.name, delivery.commercial.name, is_left_alone=delivery.route.ignores_gone
    )
    return f"{found.detail} {_('Nothing will be sent.')}"


def _table(change: Change) -> ChangeTable:
    rows = (
        FieldRow(each.name, format_value(each.before), format_value(each.after)) for each in change.fields
    )
    same = ((name, format_value(value)) for name, value in change.unchanged_fields)
    return ChangeTable(str(change.action), tuple(rows), tuple(same))


def _problem(foreseen: Foreseen) -> Words:
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


def _said(foreseen: Foreseen) -> tuple[str, ...]:
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
