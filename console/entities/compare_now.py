"""Compare one entity, or the entity of one record, now: the form, and what differs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.codes.codes import CodeTexts
from console.base.audit_trail import client_address, record_action, request_actor
from console.base.forms import ReasonField
from console.entities.make_equal import EqualForm
from console.payloads.content import ChangeTable, planned_change_table
from console.permissions import CONTENTS, MAY_APPROVE, MAY_COMPARE, MAY_REPLAY
from console.ui.links import entity_url
from console.ui.outcome_texts import describe_code, explain_absent_entity
from console.ui.scope_texts import describe_change
from logins.fresh_login import require_fresh_login
from sync.comparisons.compare_now import (
    LiveComparison,
    comparable_routes,
    comparable_types,
    compare_entity_now,
    compare_record_now,
    stream_of_comparison,
)
from sync.comparisons.confirmation.difference_kinds import judge_listed
from sync.comparisons.live_plan import PlannedSubject
from sync.models import DifferenceKind, Route
from sync.planning.change import Change, ChangeAction
from sync.planning.mapping_declaration import InvalidMapping
from webhooks.models import is_erased

PERMISSIONS = ("webhooks.view_event", MAY_COMPARE)
_SENTENCES = {
    ChangeAction.CREATE: gettext_lazy("The record is missing. Made equal, a new record will be created."),
    ChangeAction.UPDATE: gettext_lazy("The record differs. Made equal, it will be updated."),
    ChangeAction.NOTHING: gettext_lazy("In step: the record is as the mapping says."),
}
_SENTENCES_OF_LEAVER = {
    ChangeAction.UPDATE: gettext_lazy("Made equal, the record will be deactivated."),
    ChangeAction.DELETE: gettext_lazy("Made equal, the record will be deleted."),
    ChangeAction.NOTHING: gettext_lazy("In step: its record is as the route says."),
}
_SENTENCES_OF_ABSENT = {
    ChangeAction.UPDATE: gettext_lazy("Made equal, the record will be deactivated."),
    ChangeAction.DELETE: gettext_lazy("Made equal, the record will be deleted."),
    ChangeAction.NOTHING: gettext_lazy("In step: its record is marked as deleted already."),
}


class CompareForm(forms.Form):
    """The entity or the record to compare. `subject`: what the id is of."""

    type = forms.ChoiceField(label=gettext_lazy("Type"))
    subject = forms.ChoiceField(
        label=gettext_lazy("The id is of"),
        choices=[
            ("entity", gettext_lazy("an entity of the identity service")),
            ("record", gettext_lazy("a record of the target")),
        ],
        widget=forms.RadioSelect,
        initial="entity",
    )
    id = forms.CharField(label=gettext_lazy("Id"), max_length=128, strip=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["type"].choices = [(name, name) for name in comparable_types()]  # type: ignore[attr-defined]

    def clean_id(self) -> str:
        """Refuse the pseudonym of an erased entity: nothing can be fetched for it."""
        text: str = self.cleaned_data["id"]
        if is_erased(text):
            raise forms.ValidationError(_("This entity was erased."))
        return text


class RevealForm(forms.Form):
    reason = ReasonField(min_length=3, max_length=200, help_text=gettext_lazy("Don't include personal data."))


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """What was found in one pair. `change` needs view_contents. `equal_form`: None if nothing
    can be made equal, or not by this person. `needs_decision`: a person decides which record belongs to the entity.
    """

    route: Route
    checked_at: datetime
    entity_id: str = ""
    entity_url: str = ""
    change_sentence: str = ""
    note: str = ""
    fields: tuple[str, ...] = ()
    change: ChangeTable | None = None
    problem: CodeTexts | None = None
    needs_decision: bool = False
    equal_form: EqualForm | None = None


def compare_view(request: HttpRequest) -> HttpResponse:
    """Show the form, prefilled for `?type=USER&id=…`. A POST fetches both sides and shows what differs; with a reason
    also the values.
    """
    if not request.user.has_perms(PERMISSIONS):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    try:
        form = _read_form(request)
    except InvalidMapping:
        return _render(request, None)
    if request.method != "POST":
        return _render(request, form)
    return _render(request, form, **compare_context(request, form))


def compare_context(request: HttpRequest, form: CompareForm) -> dict[str, Any]:
    """Fetch both sides of what the form names, and return the values for the template `_compare_results.html`; with a
    reason also the values. Nothing is fetched if the form is not valid.
    """
    if not request.user.has_perms(PERMISSIONS):
        raise PermissionDenied
    if not form.is_valid():
        return {}
    reveal = RevealForm(request.POST) if "reveal" in request.POST else None
    shows_values = reveal is not None and reveal.is_valid() and _record_reveal(request, form, reveal)
    pairs = tuple(
        _describe(one, request, is_masked=not shows_values) for one in _compare(request, form.cleaned_data)
    )
    may_reveal = request.user.has_perm(CONTENTS) and not shows_values
    can_reveal = may_reveal and any(pair.change and pair.change.fields for pair in pairs)
    return {
        "pairs": pairs,
        "was_asked": True,
        "reveal_form": (reveal or RevealForm()) if can_reveal else None,
    }


def _read_form(request: HttpRequest) -> CompareForm:
    if request.method == "POST":
        return CompareForm({"subject": "entity", **request.POST.dict()})
    initial = {name: request.GET[name] for name in ("type", "id", "subject") if name in request.GET}
    return CompareForm(initial={"subject": "entity", **initial})


def _compare(request: HttpRequest, answer: dict[str, str]) -> list[LiveComparison]:
    compare = compare_record_now if answer["subject"] == "record" else compare_entity_now
    return compare(answer["type"], answer["id"], request_actor(request), client_address(request))


def _record_reveal(request: HttpRequest, form: CompareForm, reveal: RevealForm) -> bool:
    """Append the entry of a reveal, before anything is shown. Raises PermissionDenied and FreshLoginNeeded."""
    if not request.user.has_perm(CONTENTS):
        raise PermissionDenied
    require_fresh_login(request)
    answer = form.cleaned_data
    route = comparable_routes(answer["type"])[0].route
    entity_id = answer["id"] if answer["subject"] == "entity" else ""
    stream = stream_of_comparison(answer["type"], entity_id, route)
    with transaction.atomic():
        record_action(request, stream, "compare.revealed", {"reason": reveal.cleaned_data["reason"]})
    return True


def _describe(compared: LiveComparison, request: HttpRequest, *, is_masked: bool) -> ComparedPair:
    planned, route = compared.planned, compared.route
    if planned is None:
        return _describe_record(compared)
    is_undecided, sees_contents = _is_undecided(planned), request.user.has_perm(CONTENTS)
    shown = None if is_undecided else planned.change
    can_equal = shown is not None and not shown.is_empty
    return ComparedPair(
        route,
        compared.checked_at,
        planned.entity_id,
        entity_url(route.entity_type, planned.entity_id),
        _sentence(planned, planned.change, route) if planned.change is not None else "",
        _note(planned, is_undecided=is_undecided),
        tuple(field.name for field in shown.fields) if shown is not None else (),
        planned_change_table(shown, is_masked=is_masked) if shown is not None and sees_contents else None,
        _problem(planned.code, route) if planned.change is None else None,
        is_undecided and request.user.has_perm(MAY_APPROVE),
        _equal_form(planned, route) if can_equal and request.user.has_perm(MAY_REPLAY) else None,
    )


def _equal_form(planned: PlannedSubject, route: Route) -> EqualForm:
    event_type = "DELETE" if planned.has_entity is False else "UPDATE"
    subject = {"type": route.entity_type, "id": planned.entity_id, "route": route.pk}
    return EqualForm(
        initial={**subject, "event_type": event_type, "key": uuid4()}, auto_id=f"equal_{route.pk}_%s"
    )


def _describe_record(compared: LiveComparison) -> ComparedPair:
    route, names = compared.route, {"system": compared.route.target.name}
    if compared.code:
        return ComparedPair(route, compared.checked_at, problem=_problem(compared.code, route))
    sentence = (
        _("This record of %(system)s belongs to no entity: it has no link, and no id of an entity.")
        if compared.has_record
        else _("%(system)s has no such record.")
    )
    return ComparedPair(route, compared.checked_at, change_sentence=sentence % names)


def _is_undecided(planned: PlannedSubject) -> bool:
    return planned.change is not None and judge_listed(planned).count == DifferenceKind.FOUND_BY_VALUE


def _sentence(planned: PlannedSubject, change: Change, route: Route) -> str:
    if planned.has_entity is False:
        return _sentence_of_absent(change, route)
    if _is_undecided(planned):
        return _(
            "Another record has the same value. A person has to decide whether it belongs to this entity."
        )
    return describe_change(change, _SENTENCES_OF_LEAVER if planned.is_outside else _SENTENCES)


def _sentence_of_absent(change: Change, route: Route) -> str:
    names = (route.identity.name, route.target.name)
    if change.action is ChangeAction.NOTHING and not change.record_id:
        return explain_absent_entity(*names, is_left_alone=route.ignores_deletion).detail
    text = _("%(identity)s does not have this entity.") % {"identity": route.identity.name}
    return f"{text} {_SENTENCES_OF_ABSENT[change.action]}"


def _note(planned: PlannedSubject, *, is_undecided: bool) -> str:
    """Return why a change that is planned may still wait."""
    if planned.change is None or not planned.code or is_undecided or planned.is_in_step:
        return ""
    return describe_code(planned.code, planned.delivery.connection_of_code(planned.code).name).title


def _problem(code: str, route: Route) -> CodeTexts:
    """Return why nothing could be compared, in the words of the catalogue or of this page."""
    if code == "preview-late":
        return CodeTexts(_("The systems took too long to respond"), _("Try again later."), "")
    if code == "preview-paused":
        text = _("It failed repeatedly, so the hub does not call it.")
        return CodeTexts(_("The connection is failing"), text, "")
    system = route.identity if code.startswith("identity-") else route.target
    return describe_code(code, system.name)


def _render(request: HttpRequest, form: CompareForm | None, **results: Any) -> TemplateResponse:
    context = {
        **admin.site.each_context(request),
        "title": _("Compare now"),
        "compare_form": form,
        "compare_url": reverse("admin:webhooks_entity_compare"),
        **results,
    }
    return TemplateResponse(request, "console/entities/compare.html", context)
