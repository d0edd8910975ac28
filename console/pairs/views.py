"""The pages on which a pair begins: the pair drafts, the choice of each part, addresses and credentials, and
the end of a draft.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _

from console.base.audit_trail import acting_person, require_staff_user
from console.pairs.access import for_connecting, for_own_draft, redirect_name, render
from console.pairs.choices import (
    PARTS,
    TITLES,
    choose_identity,
    describe_part,
    list_choices,
    needs_details,
    next_part,
    parse_choice,
)
from console.pairs.forms import PartForm
from console.reference.preset_catalogue import MAX_SEARCH_LENGTH
from logins.fresh_login import require_fresh_login
from sync.models import PairDraft
from sync.pairs.drafts import DraftRefused, begin_draft, discard_draft, open_drafts, save_parts
from sync.pairs.planned_pair import CONNECTION_PARTS, IDENTITY, SENDER, TARGET

MAX_SHOWN = 50


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A pair draft as the list shows it. `url`: empty if it is that of another person."""

    title: str
    owner: str
    begun_at: datetime
    ends_at: datetime | None
    url: str
    discard_url: str


@for_connecting
def pairs_view(request: HttpRequest) -> HttpResponse:
    """List the pair drafts, and choose the sender of a new one. A POST begins it."""
    if request.method == "POST":
        chosen = parse_choice(SENDER, request.POST.get("choice", ""))
        if chosen is None:
            messages.error(request, _("Choose one of the systems."))
            return redirect("admin:pairs")
        try:
            draft = begin_draft({SENDER: chosen}, acting_person(request))
        except DraftRefused as refusal:
            messages.error(request, str(refusal))
            return redirect("admin:pairs")
        return redirect("admin:pair", draft.uuid)
    return render(
        request,
        "start",
        _("Connect systems"),
        drafts=_list_drafts(request),
        **_choice_context(request, SENDER, reverse("admin:pairs")),
    )


@for_own_draft
def pair_view(request: HttpRequest, draft: PairDraft) -> HttpResponse:
    """Redirect to the page on which a pair goes on."""
    if draft.route_id is not None:
        return redirect("admin:pair_created", draft.uuid)
    if part := next_part(draft):
        return redirect("admin:pair_choose", draft.uuid, part)
    return redirect("admin:pair_details" if needs_details(draft) else "admin:pair_review", draft.uuid)


@for_own_draft
def choose_view(request: HttpRequest, draft: PairDraft, part: str) -> HttpResponse:
    """Show what a part can be. A POST stores the choice; it forgets the address and credentials of another choice."""
    if part not in PARTS:
        raise Http404(f"A pair has no {part}")
    if draft.route_id is not None:
        return redirect(redirect_name(draft), draft.uuid)
    if request.method == "POST":
        chosen = parse_choice(part, request.POST.get("choice", ""))
        if chosen is None:
            messages.error(request, _("Choose one of the systems."))
            return redirect("admin:pair_choose", draft.uuid, part)
        return _store(request, draft, _with_choice(draft, part, chosen))
    page_url = reverse("admin:pair_choose", args=[draft.uuid, part])
    return render(
        request,
        "choose",
        str(TITLES[part]),
        draft=draft,
        part=part,
        steps=list_steps(draft, part),
        has_no_draft=part == PARTS[-1],
        **_choice_context(request, part, page_url),
    )


@for_own_draft
def details_view(request: HttpRequest, draft: PairDraft) -> HttpResponse:
    """Ask for addresses and credentials. A POST stores those of each end that is valid, and shows the errors of the
    other.
    """
    if draft.route_id is not None or next_part(draft):
        return redirect("admin:pair", draft.uuid)
    asked = [part for part in CONNECTION_PARTS if "preset" in draft.parts.get(part, {})]
    forms = [PartForm(draft, part, request.POST if request.method == "POST" else None) for part in asked]
    if request.method == "POST":
        if any(form.has_typed_credentials for form in forms):
            require_fresh_login(request)
        valid = {part: form for part, form in zip(asked, forms, strict=True) if form.is_valid()}
        parts = {**draft.parts, **{part: form.part for part, form in valid.items()}}
        credentials = {
            **draft.read_credentials(),
            **{part: form.credentials for part, form in valid.items()},
        }
        answer = _store(request, draft, parts, credentials)
        if len(valid) == len(forms):
            return answer
        # What was stored is shown as stored.
        forms = [
            PartForm(draft, part) if part in valid else form for part, form in zip(asked, forms, strict=True)
        ]
    response = render(
        request,
        "details",
        _("Addresses and credentials"),
        draft=draft,
        forms=forms,
        steps=list_steps(draft, "details"),
    )
    add_never_cache_headers(response)
    return response


@for_own_draft
def discard_view(request: HttpRequest, draft: PairDraft) -> HttpResponse:
    """Ask whether a pair draft is to be discarded. A POST deletes it with its credentials."""
    if draft.route_id is not None:
        return redirect("admin:pair_created", draft.uuid)
    if request.method == "POST":
        if discard_draft(draft, acting_person(request)):
            messages.success(request, _("Discarded. The credentials that you entered were deleted."))
        return redirect("admin:pairs")
    title = _("Discard %(pair)s?") % {"pair": describe_pair(draft)}
    return render(request, "discard", title, draft=draft)


@dataclass(frozen=True, slots=True)
class Step:
    """A step as the head of each page shows it. `url`: empty until it can be opened."""

    name: str
    chosen: str
    url: str
    is_current: bool


def list_steps(draft: PairDraft, current: str) -> list[Step]:
    """Return the steps of a pair, each with what was chosen in it."""
    names = {SENDER: _("Sender"), TARGET: _("Target"), IDENTITY: _("Identity service")}
    steps = []
    for part, name in names.items():
        url = reverse("admin:pair_choose", args=[draft.uuid, part])
        steps.append(Step(name, describe_part(draft, part), url, part == current))
    is_chosen = not next_part(draft)
    details = reverse("admin:pair_details", args=[draft.uuid]) if is_chosen else ""
    review = reverse("admin:pair_review", args=[draft.uuid]) if is_chosen and not needs_details(draft) else ""
    return [
        *steps,
        Step(_("Addresses and credentials"), "", details, current == "details"),
        Step(_("Test and create"), "", review, current == "review"),
    ]


def describe_pair(draft: PairDraft) -> str:
    """Return a pair draft by the names of its systems."""
    names = [describe_part(draft, part) for part in (SENDER, TARGET)]
    return " → ".join(name or "…" for name in names)


def _with_choice(draft: PairDraft, part: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a draft with a new choice. An unchanged one keeps what was entered for it."""
    kept = draft.parts.get(part, {})
    if any(kept.get(name) == value for name, value in chosen.items() if name != "label"):
        chosen = kept
    parts = {**draft.parts, part: chosen}
    if part == SENDER and chosen is not kept:
        parts.pop(IDENTITY, None)
    if IDENTITY not in parts and (identity := choose_identity(parts)) is not None:
        parts[IDENTITY] = identity
    return parts


def _store(
    request: HttpRequest, draft: PairDraft, parts: dict[str, Any], credentials: Any = None
) -> HttpResponse:
    """Store the parts, and lead to the next step. Credentials of an end that has no address are deleted."""
    known = draft.read_credentials() if credentials is None else credentials
    kept = {part: values for part, values in known.items() if "base_url" in parts.get(part, {})}
    try:
        save_parts(draft, parts, kept)
    except DraftRefused as refusal:
        messages.warning(request, str(refusal))
    return redirect("admin:pair", draft.uuid)


def _choice_context(request: HttpRequest, part: str, page_url: str) -> dict[str, Any]:
    search = request.GET.get("q", "")[:MAX_SEARCH_LENGTH]
    return {
        "choices": list_choices(part, page_url, search, request.GET.get("added", "")),
        "search": search,
        "params": {"q": search},
        "heading": TITLES[part],
    }


def _list_drafts(request: HttpRequest) -> list[DraftRow]:
    """Return the pair drafts: one's own first, and that others have some."""
    user = require_staff_user(request)
    own = PairDraft.objects.filter(owner=user.pk).select_related("owner", "route__source", "route__target")
    others = open_drafts().exclude(owner=user.pk).select_related("owner")
    rows = [*own.filter(pk__in=open_drafts().values("pk")), *own.exclude(route=None)]
    return [_draft_row(draft, user.pk) for draft in [*rows, *others[:MAX_SHOWN]][:MAX_SHOWN]]


def _draft_row(draft: PairDraft, user: int) -> DraftRow:
    is_own = draft.owner_id == user
    args = [draft.uuid]
    return DraftRow(
        str(draft.route) if draft.route is not None else describe_pair(draft),
        draft.owner.get_username(),
        draft.created_at,
        draft.ends_at if draft.route_id is None else None,
        reverse(redirect_name(draft), args=args) if is_own else "",
        reverse("admin:pair_discard", args=args) if is_own and draft.route_id is None else "",
    )
