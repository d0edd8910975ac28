"""Build the page of a bulk replay: its progress, with links to the events, and the actions possible now."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.base.audit_trail import require_staff_user
from console.base.decisions import deciders_text
from console.replays.words import (
    ENDED_STATES,
    PACE_LABELS,
    RESUME_LABELS,
    count_text,
    counts_by_state,
    ending_text,
    filter_sentences,
    member_label,
    member_text,
    pause_text,
    reason_text,
    remaining_time,
    was_declined,
    what_text,
)
from console.ui.event_filters import SystemNames, load_system_names
from console.ui.formatting import render_time
from sync.models import (
    Delivery,
    MemberState,
    PersonRequest,
    PersonRequestMember,
    PersonRequestState,
    ReplayPace,
    SkipReason,
)
from sync.replays.batches import waits_for_systems
from sync.replays.decisions import who_can_approve, why_not_approve
from webhooks.models import State

MAX_LAST = 20
MAX_REASONS = 20
BAR_WIDTH = 1_000
_COLOURS: dict[str, str] = {
    MemberState.SUCCEEDED: "good",
    MemberState.SKIPPED: "quiet",
    MemberState.HELD: "warn",
    MemberState.RETRYING: "warn",
    MemberState.FAILED: "bad",
    MemberState.SENT: "info",
}
_ENDED_STATES = (MemberState.SUCCEEDED, MemberState.FAILED, MemberState.HELD)
_MOVING_STATES = (PersonRequestState.CHOOSING, PersonRequestState.RUNNING, PersonRequestState.STOPPING)


@dataclass(frozen=True, slots=True)
class ProgressSegment:
    """A segment of the progress bar, with its text. `x` and `width` are on a scale of 1,000."""

    label: str
    count: int
    url: str
    colour: str
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class FailureReasonRow:
    words: str
    count: int
    url: str


def progress_context(request: HttpRequest, replay: PersonRequest) -> dict[str, Any]:
    """Return the context of the page, by three statements on the replay's own rows and one for the names of systems."""
    systems = load_system_names()
    still_failed = count_still_failed(replay) if _is_over(replay) else 0
    unsent = unsent_members(replay).count() if _is_over(replay) else 0
    return {
        "title": what_text(replay),
        "replay": replay,
        "parts": progress_segments(replay),
        "line": _progress_text(replay),
        "now": timezone.now(),
        "what": filter_sentences(replay, systems),
        "pace": PACE_LABELS.get(replay.pace, ""),
        "waits": _waiting_text(replay),
        "why_paused": pause_text(replay) if replay.state == PersonRequestState.PAUSED else "",
        "why_ended": ending_text(replay),
        "was_approved": replay.decided_by is not None and not was_declined(replay),
        "is_over": _is_over(replay),
        "reasons": _failure_reasons(replay, systems),
        "last": _last_ended(replay, systems),
        "poll": _poll_seconds(replay),
        "may": _allowed_actions(request, replay, still_failed, unsent),
        "why_not": why_not_approve(replay, require_staff_user(request)) if _awaits_approval(replay) else "",
        "deciders": deciders_text(who_can_approve(replay)) if _awaits_approval(replay) else "",
        "paces": RESUME_LABELS.items(),
        "again": _replay_failed(still_failed),
        "rest": _replay_unsent(unsent),
        "since": _no_longer_failed(replay.failed - still_failed) if _is_over(replay) else "",
        "left": count_text(replay, replay.waiting_count),
    }


def _poll_seconds(replay: PersonRequest) -> int:
    """Return the seconds after which the page reloads its figures: 0 for never."""
    if replay.in_progress_count or (replay.state in _MOVING_STATES and not replay.retrying):
        return 2
    return 10 if replay.retrying or _awaits_approval(replay) else 0


def _allowed_actions(
    request: HttpRequest, replay: PersonRequest, still_failed: int, unsent: int
) -> dict[str, Any]:
    """Return which actions the page offers to this person in the replay's state."""
    user, awaits_approval = request.user, _awaits_approval(replay)
    is_requester = replay.requested_by_id == user.pk
    may_replay = user.has_perm("webhooks.replay_event")
    is_sending = (
        replay.state in (PersonRequestState.RUNNING, PersonRequestState.PAUSED) and replay.waiting_count > 0
    )
    return {
        "pause": may_replay and is_sending and replay.state == PersonRequestState.RUNNING,
        "resume": may_replay and replay.state == PersonRequestState.PAUSED,
        "stop": may_replay and is_sending,
        "decide": awaits_approval and not is_requester and user.has_perm("sync.approve_replay"),
        "withdraw": awaits_approval and is_requester,
        "again": may_replay and still_failed,
        "rest": may_replay and unsent,
    }


def progress_segments(replay: PersonRequest) -> list[ProgressSegment]:
    """Return the segments of the bar from left to right, without empty ones. Unsent events are its background."""
    address = reverse("admin:sync_personrequest_members", args=[replay.uuid])
    segments, x = [], 0
    for state, count in counts_by_state(replay).items():
        width = round(BAR_WIDTH * count / replay.total) if replay.total else 0
        if count or state in (MemberState.SUCCEEDED, MemberState.FAILED):
            segments.append(
                ProgressSegment(
                    member_label(replay, state),
                    count,
                    f"{address}?member={state}",
                    _COLOURS.get(state, ""),
                    x,
                    # Rounded widths may add up to more than the bar.
                    min(width, BAR_WIDTH - x),
                )
            )
        x += width
    return segments


def _is_over(replay: PersonRequest) -> bool:
    return replay.state in ENDED_STATES


def _awaits_approval(replay: PersonRequest) -> bool:
    return replay.state == PersonRequestState.AWAITING


def _progress_text(replay: PersonRequest) -> str:
    """Return `312 of 486 · about 35 s left`. Skipped events count as done."""
    text = _("%(done)s of %(total)s") % {
        "done": f"{replay.ended_count + replay.skipped:,}",
        "total": f"{replay.total:,}",
    }
    if (
        replay.state == PersonRequestState.RUNNING
        and replay.waiting_count
        and (left := remaining_time(replay.waiting_count, replay.pace))
    ):
        return f"{text} · " + _("%(time)s left") % {"time": left}
    return text


def _failure_reasons(replay: PersonRequest, systems: SystemNames) -> list[FailureReasonRow]:
    """Return the most frequent reasons of what failed, and of what will be retried."""
    if not (replay.failed or replay.retrying):
        return []
    failed = PersonRequestMember.objects.filter(
        person_request=replay, state__in=(MemberState.FAILED, MemberState.RETRYING)
    ).order_by()
    counted = failed.values_list("state", "why").annotate(number=Count("pk"))
    address = reverse("admin:sync_personrequest_members", args=[replay.uuid])
    return [
        FailureReasonRow(
            _reason_words(state, reason_text(state, why, replay, systems)),
            count,
            f"{address}?member={state}&why={why}",
        )
        for state, why, count in counted.order_by("-number", "state", "why")[:MAX_REASONS]
    ]


def _reason_words(state: str, reason: str) -> str:
    return _("%(reason)s (will be retried)") % {"reason": reason} if state == MemberState.RETRYING else reason


def still_failed_members(replay: PersonRequest) -> QuerySet[PersonRequestMember]:
    """Select the events that failed again in this replay, and have a failed delivery now."""
    is_dead = Exists(Delivery.objects.filter(event=OuterRef("event"), state=State.DEAD))
    return PersonRequestMember.objects.filter(is_dead, person_request=replay, state=MemberState.FAILED)


def count_still_failed(replay: PersonRequest) -> int:
    return still_failed_members(replay).count() if replay.failed else 0


def unsent_members(replay: PersonRequest) -> QuerySet[PersonRequestMember]:
    """Select the events that an ended replay left: it was stopped before, or sent only a part. None of those that it
    had to make for differences.
    """
    rest = Q(state=MemberState.WAITING) | Q(state=MemberState.SKIPPED, why=SkipReason.LATER)
    return PersonRequestMember.objects.filter(rest, person_request=replay, event__isnull=False)


def _waiting_text(replay: PersonRequest) -> str:
    """Return why a running replay sends nothing at present; empty if it does."""
    if replay.state != PersonRequestState.RUNNING or replay.pace != ReplayPace.ANSWERED:
        return ""
    members = PersonRequestMember.objects.filter(person_request=replay, state=MemberState.WAITING)
    if not waits_for_systems(replay, members.order_by("event")[:1]):
        return ""
    return _("A system does not answer. The events are sent as soon as it answers again.")


def _no_longer_failed(number: int) -> str:
    if not number:
        return ""
    text = ngettext(
        "%(number)s event that failed again is no longer failed: it was delivered, or closed, since.",
        "%(number)s events that failed again are no longer failed: they were delivered, or closed, since.",
        number,
    )
    return text % {"number": f"{number:,}"}


def _last_ended(replay: PersonRequest, systems: SystemNames) -> list[tuple[PersonRequestMember, str, object]]:
    """Return the events that ended last, newest first."""
    ended = PersonRequestMember.objects.filter(person_request=replay, state__in=_ENDED_STATES).select_related(
        "event"
    )
    rows = ended.order_by("-at", "-id")[:MAX_LAST]
    return [
        (member, member_text(member.state, member.why, replay, systems), render_time(member.at))
        for member in rows
    ]


def _replay_unsent(unsent: int) -> str:
    text = ngettext(
        "Replay %(number)s event that was not sent…", "Replay %(number)s events that were not sent…", unsent
    )
    return text % {"number": f"{unsent:,}"}


def _replay_failed(failed: int) -> str:
    text = ngettext("Replay %(number)s failed event…", "Replay %(number)s failed events…", failed)
    return text % {"number": f"{failed:,}"}
