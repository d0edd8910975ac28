"""Make differences equal: all of some kinds, or the chosen rows, as a bulk replay that its own page confirms."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID, uuid4, uuid5

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import require_staff_user
from console.base.forms import parse_pk
from console.comparisons.difference_list import KINDS_MADE_EQUAL
from console.comparisons.result import find_comparison
from console.comparisons.words import count_text, gone_texts, kind_label
from console.permissions import MAY_REPLAY
from sync.comparisons.make_equal import select_differences
from sync.comparisons.requests import latest_comparison, routes_of_pair
from sync.models import Comparison, DifferenceKind, PersonRequest, Route
from sync.replays.requests import ReplayRefused

GONE = DifferenceKind.ENTITY_GONE
# As many as a page of the list has.
MAX_CHOSEN = 500


class EqualForm(forms.Form):
    """What to make equal: kinds of differences, or chosen rows; for which route. `key`: a second click selects nothing
    twice.
    """

    kinds = forms.MultipleChoiceField(choices=DifferenceKind.choices, required=False)
    route = forms.TypedChoiceField(coerce=int)
    key = forms.UUIDField()

    def __init__(self, routes: list[Route], *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.fields["route"].choices = [(route.pk, str(route.source)) for route in routes]  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class EqualKind:
    """A kind that can be made equal together with others, and how many differences are of it."""

    value: str
    label: str
    count: str


@dataclass(frozen=True, slots=True)
class EqualChoices:
    """What the page of a comparison offers to make equal. `gone_sentence` and `gone_button` are empty if there is
    nothing to do about entities that are gone.
    """

    kinds: tuple[EqualKind, ...]
    gone_sentence: str
    gone_button: str
    routes: tuple[Route, ...]
    key: UUID


def equal_choices(request: HttpRequest, comparison: Comparison) -> EqualChoices | None:
    """Return what this person can make equal; None without the permission, or if no route is left to do it for."""
    if not request.user.has_perm(MAY_REPLAY) or not (routes := routes_of_pair(comparison)):
        return None
    kinds = tuple(
        EqualKind(
            kind,
            kind_label(kind),
            count_text(count, is_about=bool(comparison.unconfirmed.get(kind))),
        )
        for kind in KINDS_MADE_EQUAL
        if (count := comparison.counts.get(kind))
    )
    sentence, button = gone_texts(comparison)
    return EqualChoices(kinds, sentence, button, tuple(routes), uuid4())


def choices_of_row(request: HttpRequest, comparison: Comparison, kind: str) -> EqualChoices | None:
    """Return the choices for one difference of this kind; None if it cannot be made equal, or by this person."""
    newest = latest_comparison(comparison.route)
    is_newest = newest is not None and newest.pk == comparison.pk
    choices = equal_choices(request, comparison) if is_newest else None
    return choices if kind in choosable_kinds(choices, kind) else None


def choosable_kinds(choices: EqualChoices | None, listed_kind: str) -> Collection[str]:
    """Return the kinds whose rows can be chosen in a list of this kind, or of all if it is empty."""
    if choices is None:
        return ()
    if listed_kind == GONE and choices.gone_sentence:
        return (GONE,)
    return KINDS_MADE_EQUAL


@admin_page("<uuid:key>/equal/", "equal", button_on="change")
def equal_view(comparison_admin: AdminWithPages, request: HttpRequest, key: UUID) -> HttpResponse:
    """Select differences and lead on to the page that confirms their replay. POST only."""
    comparison_admin.require_permissions(request, MAY_REPLAY)
    comparison = find_comparison(key)
    form = EqualForm(routes_of_pair(comparison), request.POST)
    try:
        replay = _select(request, comparison, form)
    except ReplayRefused as error:
        messages.error(request, str(error))
        return redirect("admin:sync_comparison_change", key)
    return redirect("admin:sync_personrequest_confirm", replay.uuid)


def _select(request: HttpRequest, comparison: Comparison, form: EqualForm) -> PersonRequest:
    """Select the chosen rows, or all of the chosen kinds. Raises ReplayRefused."""
    newest = latest_comparison(comparison.route)
    if newest is None or newest.pk != comparison.pk:
        raise ReplayRefused(_("There is a newer comparison. Make equal what that one found."))
    if not form.is_valid():
        raise ReplayRefused(_("Choose what to make equal."))
    chosen = [
        key for text in request.POST.getlist("chosen")[:MAX_CHOSEN] if (key := parse_pk(text)) is not None
    ]
    kinds, route = () if chosen else sorted(form.cleaned_data["kinds"]), form.cleaned_data["route"]
    return select_differences(
        require_staff_user(request),
        comparison,
        Route.objects.get(pk=route),
        kinds=kinds,
        difference_ids=chosen,
        # Who goes back and chooses something else gets another selection.
        key=uuid5(form.cleaned_data["key"], repr((kinds, sorted(chosen), route))),
    )
