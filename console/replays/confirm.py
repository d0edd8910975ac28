"""Build the page that confirms a bulk replay and shows its effect."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.audit_trail import acting_person
from console.base.forms import ReasonField
from console.base.named_systems import systems_of_codes
from console.permissions import approval_limit
from console.replays.words import (
    PACE_LABELS,
    REASON_MISSING,
    button_text,
    count_text,
    filter_sentences,
    reason_text,
    remaining_time,
)
from console.ui.event_filters import NO_SYSTEMS, count_events_text, load_system_names
from console.ui.outcome_texts import describe_code
from sync.models import MemberState, PersonRequest, PersonRequestMember, PersonRequestState, ReplayPace
from sync.replays.decisions import ReplayTerms, start_replay
from sync.replays.event_selection import TooManyEvents, is_too_large, leave_rest

SAMPLE_SIZE = 5


class TermsForm(forms.Form):
    """Reason, pace, and automatic pause of a bulk replay."""

    pace = forms.ChoiceField(choices=ReplayPace.choices, initial=ReplayPace.GENTLE)
    reason = ReasonField(label=gettext_lazy("Reason"), error_messages=REASON_MISSING)
    pauses = forms.BooleanField(required=False, initial=True)


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """The number of events that are skipped for one reason."""

    count: int
    reason: str
    url: str


def replay_limit(user: Any, replay: PersonRequest) -> int:
    """Return the number of events that this person may send again without approval by another one.

    *Make equal* has the lower limit for everybody: it may write records that no event has named.
    """
    return int(settings.REPLAY_LIMIT) if replay.makes_equal else approval_limit(user)


def confirm_context(request: HttpRequest, replay: PersonRequest, form: TermsForm) -> dict[str, Any]:
    """Return the context of the page, by five statements."""
    count = replay.waiting_count
    limit = replay_limit(request.user, replay)
    needs_second = count > limit
    problem = str(TooManyEvents()) if is_too_large(replay) else ""
    is_counting = replay.state == PersonRequestState.CHOOSING and not problem
    return {
        "title": _page_title(replay, is_counting=is_counting),
        "replay": replay,
        "is_counting": is_counting,
        "problem": problem,
        "button": button_text(replay, needs_second=needs_second),
        "chosen": count_text(replay, replay.total),
        "list": _event_list_url(replay),
        "what": filter_sentences(replay, load_system_names()),
        "skipped": [] if is_counting else _skipped_rows(replay),
        "sample": [] if is_counting else _sample_rows(replay),
        "paces": [
            (value, label, remaining_time(count, value), _selected_pace(form) == value)
            for value, label in PACE_LABELS.items()
        ],
        "percent": settings.REPLAY_PAUSES_ABOVE,
        "limit": count_events_text(limit),
        "needs_second": needs_second,
        "part": _part_text(replay, limit) if needs_second else "",
        "terms_form": form,
    }


def _part_text(replay: PersonRequest, limit: int) -> str:
    """Return the text of the button that sends as many events as need no approval; empty if it is not offered."""
    if replay.makes_equal or not limit:
        return ""
    return _("Replay the first %(events)s") % {"events": count_events_text(limit)}


def _page_title(replay: PersonRequest, *, is_counting: bool) -> str:
    if is_too_large(replay):
        return _("Too many events")
    if is_counting:
        return _("Counting the differences…") if replay.makes_equal else _("Counting the events…")
    if not replay.waiting_count:
        return _("There is nothing to make equal") if replay.makes_equal else _("There is nothing to replay")
    return button_text(replay, needs_second=False)


def _event_list_url(replay: PersonRequest) -> str:
    """Return the address of the list from which the members were selected."""
    if replay.makes_equal:
        return _comparison_url(replay)
    page = reverse("admin:webhooks_event_changelist")
    params = {name: value for name, value in (replay.filter or {}).items() if not name.endswith("_taken_for")}
    return f"{page}?{urlencode(params)}" if params else page


def _comparison_url(replay: PersonRequest) -> str:
    """Return the address of the comparison; of the replays if it is no longer stored."""
    if replay.comparison is None:
        return reverse("admin:sync_personrequest_changelist")
    return reverse("admin:sync_comparison_change", args=[replay.comparison.uuid])


def _selected_pace(form: TermsForm) -> str:
    pace = str(form["pace"].value())
    return pace if pace in ReplayPace.values else ReplayPace.GENTLE


def _skipped_rows(replay: PersonRequest) -> list[SkippedRow]:
    skipped = PersonRequestMember.objects.filter(person_request=replay, state=MemberState.SKIPPED)
    counted = skipped.order_by().values_list("why").annotate(Count("pk")).order_by("why")
    address_of_list = reverse("admin:sync_personrequest_members", args=[replay.uuid])
    return [
        SkippedRow(
            count,
            reason_text(MemberState.SKIPPED, why, replay, NO_SYSTEMS),
            f"{address_of_list}?member=skipped&why={why}",
        )
        for why, count in counted
    ]


def _sample_rows(replay: PersonRequest) -> list[tuple[PersonRequestMember, str]]:
    """Return some of the events that are sent, each with the reason of its status."""
    waiting = PersonRequestMember.objects.filter(person_request=replay, state=MemberState.WAITING)
    members = list(waiting.select_related("event__source").order_by("-event", "-pk")[:SAMPLE_SIZE])
    events = {member.event_id: member.event for member in members if member.event is not None}
    systems = systems_of_codes(event.pk for event in events.values())
    codes = [(member, events[member.event_id].code if member.event_id else "") for member in members]
    return [
        (member, describe_code(code, systems.get((member.event_id or 0, code), "")).title if code else "")
        for member, code in codes
    ]


def begin_replay(request: HttpRequest, replay: PersonRequest, form: TermsForm) -> PersonRequest:
    """Start the confirmed replay, or the part of it that needs no approval. Raises ReplayAlreadyRequested and
    ReplayRefused.
    """
    answer = form.cleaned_data
    limit = replay_limit(request.user, replay)
    if "part" in request.POST and not replay.makes_equal:
        leave_rest(replay, limit)
    terms = ReplayTerms(answer["reason"], ReplayPace(answer["pace"]), answer["pauses"], limit)
    return start_replay(replay, acting_person(request), terms)
