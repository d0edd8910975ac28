"""Editor of a mapping: its table over a sample, or its JSON; see the resulting record at once, save as a draft."""

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import acting_person
from console.base.forms import parse_pk
from console.base.json_text import JsonTextError
from console.base.origin_page import has_origin, keep_origin
from console.payloads.reveal import RevealPurpose, reveal_events
from console.permissions import MAY_ACTIVATE, MAY_EDIT
from console.settings.mappings.editor_page import (
    EMPTY_DECLARATION,
    EditorState,
    View,
    editor_context,
    load_environment,
    read_state,
)
from console.settings.mappings.mapping_pages import (
    get_mapping,
    posted_base_version,
    posted_text,
    render_mapping_page,
)
from console.settings.mappings.mapping_trial import TrialProblem, parse_declaration
from console.settings.mappings.table.live_sample import fetch_sample, may_fetch
from console.settings.mappings.table.samples import PostedSample
from console.settings.mappings.words import diff_declarations
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
from sync.models import Mapping, MappingDraft, MappingVersion
from webhooks.models import Event


@admin_page("<int:pk>/edit/", "edit")
def edit_view(mapping_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the form; on POST, save it as a draft, or do what the pressed button says and show the form again."""
    mapping = get_mapping(mapping_admin, request, pk, MAY_EDIT)
    if request.method != "POST":
        return _open_editor(mapping_admin, request, mapping)
    state = read_state(request, mapping)
    if "save" in request.POST and not state.problems:
        return _save_draft(mapping_admin, request, mapping, state)
    return _render_editor(mapping_admin, request, mapping, _change_sample(request, mapping, state))


@admin_page("<int:pk>/try/", "try")
def try_view(mapping_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Render the posted form as a fragment, which a script inserts while the person types and after a button of the
    table.
    """
    mapping = get_mapping(mapping_admin, request, pk, MAY_EDIT)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    state = read_state(request, mapping)
    context = {"mapping": mapping, **editor_context(request, state, load_environment(request, mapping))}
    return TemplateResponse(request, "console/settings/mappings/_editor.html", context)


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
    version, `?view=json` its JSON.
    """
    number = parse_pk(request.GET.get("version", ""))
    chosen = None if number is None else mapping.versions.filter(number=number).first()
    draft = open_draft(mapping)
    standing = chosen or draft or current_version(mapping)
    note = draft.note if draft else ""
    if chosen:
        note = _("same as version %(number)s") % {"number": chosen.number}
    text = standing.declaration_text if standing else EMPTY_DECLARATION
    state = EditorState(text, view=View.JSON if request.GET.get("view") == View.JSON else View.TABLE)
    return _render_editor(mapping_admin, request, mapping, state, note=note, is_new=True)


def _change_sample(request: HttpRequest, mapping: Mapping, state: EditorState) -> EditorState:
    """Reveal the selected event, take the next one, or fetch an entity, if such a button was pressed."""
    if "another" in request.POST:
        known = load_environment(request, mapping).known
        state = replace(state, sample=replace(state.sample, event=known.next_choice(state.sample.event)))
    if "reveal" in request.POST or ("another" in request.POST and request.POST.get("reason", "").strip()):
        _reveal_selected(request, state.sample.event)
    if "fetch" in request.POST and may_fetch(request):
        return _fetch_sample(request, mapping, state)
    return state


def _fetch_sample(request: HttpRequest, mapping: Mapping, state: EditorState) -> EditorState:
    routes = load_environment(request, mapping).routes
    chosen = parse_pk(request.POST.get("fetch_route", ""))
    route = next((one for one in routes if one.pk == chosen), None) or next(iter(routes), None)
    if route is None:
        return replace(state, sample_problem=_("No route uses this mapping."))
    fetched = fetch_sample(request, mapping, route, request.POST.get("fetch_id", "").strip())
    if fetched.problem:
        return replace(state, sample_problem=fetched.problem)
    return replace(state, sample=PostedSample(entity=fetched.text))


def _save_draft(
    mapping_admin: AdminWithPages, request: HttpRequest, mapping: Mapping, state: EditorState
) -> HttpResponse:
    try:
        written = DeclarationText(parse_declaration(state.text), state.text)
        save_draft(
            mapping,
            written,
            posted_text(request, "note"),
            posted_base_version(request),
            acting_person(request),
        )
    except JsonTextError as error:
        problem = TrialProblem(error.sentence, error.line)
        return _render_editor(mapping_admin, request, mapping, state, problem=problem)
    except MappingChangeRefused as error:
        return _render_editor(mapping_admin, request, mapping, state, problem=TrialProblem(str(error)))
    except MappingChangedMeanwhile as error:
        overtaken = _conflict_context(mapping, posted_base_version(request), error)
        return _render_editor(mapping_admin, request, mapping, state, overtaken=overtaken)
    messages.success(request, _("Saved as a draft. Deliveries use it only after you activate it."))
    # Where the person came from, only a mapping with a version can be chosen.
    activates = has_origin(request) and request.user.has_perm(MAY_ACTIVATE)
    following = "admin:sync_mapping_activate" if activates else "admin:sync_mapping_change"
    return redirect(keep_origin(request, reverse(following, args=[mapping.pk])))


def _render_editor(
    mapping_admin: AdminWithPages,
    request: HttpRequest,
    mapping: Mapping,
    state: EditorState,
    *,
    note: str | None = None,
    is_new: bool = False,
    **context: Any,
) -> HttpResponse:
    """Render the form. After a conflict it is based on the current draft, so that saving again is a decision. A new
    form begins with the newest sample.
    """
    current, draft = current_version(mapping), open_draft(mapping)
    is_bound = request.method == "POST" and "overtaken" not in context
    environment = load_environment(request, mapping)
    if is_new:
        state = replace(state, sample=PostedSample(event=environment.known.first_choice()))
    return render_mapping_page(
        mapping_admin,
        request,
        "console/settings/mappings/edit.html",
        mapping,
        title=_("Edit %(mapping)s") % {"mapping": mapping},
        note=request.POST.get("note", "") if note is None else note,
        seen=posted_base_version(request) if is_bound else seen_versions(current, draft),
        draft=draft,
        current=current,
        **editor_context(request, state, environment),
        **context,
    )


def _reveal_selected(request: HttpRequest, event: str) -> None:
    pk = parse_pk(event)
    events = [] if pk is None else list(Event.objects.filter(pk=pk))
    reveal_events(request, events, RevealPurpose.MAPPING_TRIALS)


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
