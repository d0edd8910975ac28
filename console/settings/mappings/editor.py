"""Editor of a mapping: type, see the resulting record at once, save as a draft."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import acting_person
from console.base.forms import parse_pk
from console.base.json_text import MAX_LENGTH, JsonTextError, normalize_newlines
from console.payloads.reveal import RevealPurpose, reveal_events, revealed_events
from console.permissions import CONTENTS, MAY_EDIT
from console.settings.field_lists import mapping_field_list
from console.settings.mappings.mapping_pages import (
    get_mapping,
    posted_base_version,
    posted_text,
    render_mapping_page,
)
from console.settings.mappings.mapping_trial import (
    MappingTrial,
    TrialInput,
    TrialProblem,
    list_sample_events,
    parse_declaration,
    run_trial,
)
from console.settings.mappings.words import FUNCTION_LABELS, diff_declarations
from sync.mappings.backtests import routes_using_mapping
from sync.mappings.drafts import (
    DeclarationText,
    MappingChangedMeanwhile,
    MappingChangeRefused,
    SeenVersions,
    current_version,
    discard_draft,
    open_draft,
    save_draft,
    seen_versions,
)
from sync.mappings.past_entities import PastEvent
from sync.models import Mapping, MappingDraft, MappingVersion
from webhooks.models import Event

EMPTY_DECLARATION = '{\n  "fields": {\n    "email": {"path": "entity.email"}\n  },\n  "match": {}\n}'


@admin_page("<int:pk>/edit/", "edit")
def edit_view(mapping_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the form; on POST, save it as a draft, reveal the selected event, or try it out on a sample."""
    mapping = get_mapping(mapping_admin, request, pk, MAY_EDIT)
    if request.method != "POST":
        return _open_editor(mapping_admin, request, mapping)
    trial_input = _posted_input(request)
    if "reveal" in request.POST:
        _reveal_selected(request, trial_input)
    if "save" not in request.POST:
        return _render_editor(
            mapping_admin, request, mapping, trial_input, trial=_run_trial(request, mapping, trial_input)
        )
    return _save_draft(mapping_admin, request, mapping, trial_input)


@admin_page("<int:pk>/try/", "try")
def try_view(mapping_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Render the trial of the posted form as a fragment, which a script inserts while the person types."""
    mapping = get_mapping(mapping_admin, request, pk, MAY_EDIT)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    trial = _run_trial(request, mapping, _posted_input(request))
    context = {"trial": trial, "may_see": request.user.has_perm(CONTENTS)}
    return TemplateResponse(request, "console/settings/mappings/_try_out.html", context)


@admin_page("<int:pk>/discard/", "discard")
def discard_view(mapping_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for confirmation; on POST, discard the draft. It stays in the history."""
    mapping = get_mapping(mapping_admin, request, pk, MAY_EDIT)
    draft = open_draft(mapping)
    if request.method != "POST" and draft is not None:
        return _confirm_discard(mapping_admin, request, mapping, draft)
    try:
        # Somebody may have activated or replaced the draft since the page was opened.
        if draft is None or str(draft.pk) != request.POST.get("draft"):
            raise MappingChangeRefused(_("This draft no longer exists."))
        discard_draft(draft, acting_person(request))
    except MappingChangeRefused as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The draft was discarded."))
    return redirect("admin:sync_mapping_change", pk)


def _confirm_discard(
    mapping_admin: AdminWithPages, request: HttpRequest, mapping: Mapping, draft: MappingDraft
) -> HttpResponse:
    current = current_version(mapping)
    return render_mapping_page(
        mapping_admin,
        request,
        "console/settings/mappings/discard.html",
        mapping,
        title=_("Discard the draft of %(mapping)s?") % {"mapping": mapping},
        draft=draft,
        differences=diff_declarations(current.declaration if current else None, draft.declaration),
    )


def _open_editor(mapping_admin: AdminWithPages, request: HttpRequest, mapping: Mapping) -> HttpResponse:
    """Show the open draft or the active version, tried out on the newest event. `?version=N` opens an earlier
    version.
    """
    number = parse_pk(request.GET.get("version", ""))
    chosen = None if number is None else mapping.versions.filter(number=number).first()
    draft = open_draft(mapping)
    standing = chosen or draft or current_version(mapping)
    note = draft.note if draft else ""
    if chosen:
        note = _("same as version %(number)s") % {"number": chosen.number}
    recent = _list_choices(request, mapping)
    newest = str(recent[0].event.pk) if recent else ""
    trial_input = TrialInput(standing.declaration_text if standing else EMPTY_DECLARATION, event=newest)
    trial = _run_trial(request, mapping, trial_input, recent) if recent else None
    return _render_editor(
        mapping_admin, request, mapping, trial_input, note=note, trial=trial, choices=recent
    )


def _save_draft(
    mapping_admin: AdminWithPages, request: HttpRequest, mapping: Mapping, trial_input: TrialInput
) -> HttpResponse:
    try:
        written = DeclarationText(parse_declaration(trial_input.declaration), trial_input.declaration)
        save_draft(
            mapping,
            written,
            posted_text(request, "note"),
            posted_base_version(request),
            acting_person(request),
        )
    except JsonTextError as error:
        return _render_editor(
            mapping_admin, request, mapping, trial_input, problem=TrialProblem(error.sentence, error.line)
        )
    except MappingChangeRefused as error:
        return _render_editor(mapping_admin, request, mapping, trial_input, problem=TrialProblem(str(error)))
    except MappingChangedMeanwhile as error:
        return _render_editor(
            mapping_admin,
            request,
            mapping,
            trial_input,
            overtaken=_conflict_context(mapping, posted_base_version(request), error),
        )
    messages.success(request, _("Saved as a draft. Deliveries use it only after you activate it."))
    return redirect("admin:sync_mapping_change", mapping.pk)


def _run_trial(
    request: HttpRequest, mapping: Mapping, trial_input: TrialInput, known: Sequence[PastEvent] = ()
) -> MappingTrial:
    revealed = revealed_events(request, RevealPurpose.MAPPING_TRIALS)
    return run_trial(trial_input, routes_using_mapping(mapping.pk), revealed=revealed, recent=known)


def _render_editor(
    mapping_admin: AdminWithPages,
    request: HttpRequest,
    mapping: Mapping,
    trial_input: TrialInput,
    note: str | None = None,
    **context: Any,
) -> HttpResponse:
    """Render the form. After a conflict it is based on the current draft, so that saving again is a decision."""
    current, draft = current_version(mapping), open_draft(mapping)
    newest = seen_versions(current, draft)
    if "choices" not in context:
        context["choices"] = _list_choices(request, mapping)
    is_bound = request.method == "POST" and "overtaken" not in context
    return render_mapping_page(
        mapping_admin,
        request,
        "console/settings/mappings/edit.html",
        mapping,
        title=_("Edit %(mapping)s") % {"mapping": mapping},
        trial_input=trial_input,
        note=request.POST.get("note", "") if note is None else note,
        seen=posted_base_version(request) if is_bound else newest,
        draft=draft,
        current=current,
        longest=MAX_LENGTH,
        functions=tuple(FUNCTION_LABELS.items()),
        field_list=mapping_field_list(),
        **context,
    )


def _list_choices(request: HttpRequest, mapping: Mapping) -> list[PastEvent]:
    """Return the events to try out on: none for people who may not see their contents."""
    if not request.user.has_perm(CONTENTS):
        return []
    return list_sample_events(routes_using_mapping(mapping.pk))


def _reveal_selected(request: HttpRequest, trial_input: TrialInput) -> None:
    pk = parse_pk(trial_input.event)
    events = [] if pk is None else list(Event.objects.filter(pk=pk))
    reveal_events(request, events, RevealPurpose.MAPPING_TRIALS)


def _posted_input(request: HttpRequest) -> TrialInput:
    text = {
        name: normalize_newlines(request.POST.get(name, "")) for name in ("declaration", "entity", "webhook")
    }
    return TrialInput(event=request.POST.get("event", ""), **text)


def _conflict_context(mapping: Mapping, seen: SeenVersions, error: MappingChangedMeanwhile) -> dict[str, Any]:
    """Return who saved first, and what that save changed compared with what this person started from."""
    standing: MappingDraft | MappingVersion | None = error.draft or error.current
    base: MappingDraft | MappingVersion | None = mapping.drafts.filter(pk=seen.draft_id).first()
    base = base or mapping.versions.filter(number=seen.version_number).first()
    return {
        "latest": standing,
        "is_draft": error.draft is not None,
        "at": error.draft.made_at if error.draft else error.current and error.current.created_at,
        "differences": diff_declarations(base.declaration if base else None, standing.declaration)
        if standing
        else [],
    }
