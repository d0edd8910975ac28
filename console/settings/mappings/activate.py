"""Compare two versions of a mapping, and activate one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import acting_person
from console.base.forms import parse_pk
from console.base.origin_page import return_to_origin
from console.permissions import MAY_ACTIVATE
from console.settings.mappings.backtest_words import BacktestSummary, summarize_backtest
from console.settings.mappings.mapping_pages import (
    get_mapping,
    posted_base_version,
    posted_text,
    render_mapping_page,
)
from console.settings.mappings.words import diff_declarations, diff_texts
from sync.mappings.activation_check import ActivationCheck
from sync.mappings.configuration_gaps import mapping_gaps
from sync.mappings.drafts import (
    FieldsUnconfirmed,
    MappingChangedMeanwhile,
    MappingChangeRefused,
    activate_version,
    current_version,
    open_draft,
    seen_versions,
)
from sync.models import Mapping, MappingDraft, MappingVersion
from sync.planning.mapping_rules import MAX_FIELDS

DraftOrVersion = MappingDraft | MappingVersion


class ConfirmationRow(NamedTuple):
    """The control by which a person confirms a field, by typing its name. `typed`: what was typed, if it is right."""

    control: str
    label: str
    typed: str


@admin_page("<int:pk>/compare/", "compare")
def compare_view(mapping_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Compare `?from=3&to=5`; each is the number of a version or `draft`."""
    mapping = get_mapping(mapping_admin, request, pk)
    old, new = (
        _find_side(mapping, request.GET.get("from", "")),
        _find_side(mapping, request.GET.get("to", "")),
    )
    if new is None:
        raise Http404
    current = current_version(mapping)
    shown = {"old": _optional_side_name(old), "new": side_name(new), **_diff_sides(old, new)}
    shown |= {"is_draft": isinstance(new, MappingDraft), "target": new, "current": current}
    title = _("%(mapping)s: changes in %(side)s") % {"mapping": mapping, "side": shown["new"]}
    return render_mapping_page(
        mapping_admin, request, "console/settings/mappings/compare.html", mapping, title=title, **shown
    )


@admin_page("<int:pk>/activate/", "activate")
def activate_view(mapping_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the changes, the routes that could not work and the last back-test of the draft, or of `?version=N`; on
    POST, activate it.
    """
    mapping = get_mapping(mapping_admin, request, pk, MAY_ACTIVATE)
    number = request.GET.get("version", "")
    target = _find_side(mapping, number or "draft")
    if target is None:
        messages.error(request, _("This mapping no longer has a draft."))
        return redirect("admin:sync_mapping_change", pk)
    if request.method == "POST":
        return _activate(mapping_admin, request, mapping, target)
    return _render_activation(mapping_admin, request, mapping, target)


def _activate(
    mapping_admin: AdminWithPages, request: HttpRequest, mapping: Mapping, target: DraftOrVersion
) -> HttpResponse:
    try:
        made = activate_version(
            target,
            posted_base_version(request),
            posted_text(request, "reason"),
            acting_person(request),
            confirmed=_posted_names(request),
        )
    except FieldsUnconfirmed as error:
        return _render_activation(
            mapping_admin, request, mapping, target, problem=str(error), unconfirmed=error.check
        )
    except MappingChangeRefused as error:
        return _render_activation(mapping_admin, request, mapping, target, problem=str(error))
    except MappingChangedMeanwhile:
        problem = _(
            "This mapping was changed after you opened this page. Review the changes again, then decide."
        )
        return _render_activation(mapping_admin, request, mapping, target, problem=problem)
    text = _("Version %(number)s is active. Deliveries use it from now on.")
    messages.success(request, text % {"number": made.number})
    return return_to_origin(request, added=mapping.pk) or redirect("admin:sync_mapping_change", mapping.pk)


def _render_activation(
    mapping_admin: AdminWithPages,
    request: HttpRequest,
    mapping: Mapping,
    target: DraftOrVersion,
    problem: str = "",
    unconfirmed: ActivationCheck | None = None,
) -> HttpResponse:
    current, draft = current_version(mapping), open_draft(mapping)
    is_draft = isinstance(target, MappingDraft)
    verb = (
        _("Activate the draft of %(mapping)s?")
        if is_draft
        else _("Restore version %(number)s of %(mapping)s?")
    )
    names = {"mapping": mapping, "number": getattr(target, "number", "")}
    return render_mapping_page(
        mapping_admin,
        request,
        "console/settings/mappings/activate.html",
        mapping,
        title=verb % names,
        target=target,
        is_draft=is_draft,
        current=current,
        seen=seen_versions(current, draft),
        tested=_latest_backtest(target),
        is_based_elsewhere=isinstance(target, MappingDraft)
        and target.base_id != (current.pk if current else None),
        problem=problem,
        confirmations=_confirmation_rows(unconfirmed, _posted_names(request)),
        entity_count=unconfirmed.entity_count if unconfirmed else 0,
        gaps=mapping_gaps(mapping, target.declaration),
        reason=request.POST.get("reason", ""),
        next_number=(current.number if current else 0) + 1,
        **_diff_sides(current, target),
    )


def _posted_names(request: HttpRequest) -> list[str]:
    return [text.strip() for text in request.POST.getlist("confirm")[:MAX_FIELDS]]


def _confirmation_rows(check: ActivationCheck | None, typed: Sequence[str]) -> list[ConfirmationRow]:
    """Return a row for each field that has to be confirmed."""
    if check is None:
        return []
    without, losing = (
        _("%(field)s gets no value from any of them"),
        _("%(field)s loses its value in some of them"),
    )
    labels = dict.fromkeys(check.without_value, without) | dict.fromkeys(check.losing_value, losing)
    return [
        ConfirmationRow(f"id_confirm_{number}", label % {"field": name}, name if name in typed else "")
        for number, (name, label) in enumerate(labels.items(), 1)
    ]


def _find_side(mapping: Mapping, text: str) -> DraftOrVersion | None:
    if text == "draft":
        return open_draft(mapping)
    number = parse_pk(text)
    versions = mapping.versions.select_related("made_by")
    return None if number is None else versions.filter(number=number).first()


def side_name(side: DraftOrVersion) -> str:
    """Name a draft or a version, for the middle of a sentence."""
    if isinstance(side, MappingDraft):
        return _("the draft")
    return _("version %(number)s") % {"number": side.number}


def _optional_side_name(side: DraftOrVersion | None) -> str:
    return "" if side is None else side_name(side)


def _diff_sides(old: DraftOrVersion | None, new: DraftOrVersion) -> dict[str, Any]:
    text = diff_declarations(old.declaration if old else None, new.declaration)
    return {
        "differences": text,
        "lines": diff_texts(old.declaration_text if old else "", new.declaration_text),
    }


def _latest_backtest(target: DraftOrVersion) -> BacktestSummary | None:
    """Summarize the newest back-test of a draft; None for a version, which was active already."""
    if not isinstance(target, MappingDraft):
        return None
    newest = target.backtests.select_related("base", "requested_by").order_by("-pk").first()
    return None if newest is None else summarize_backtest(newest)
