"""How far a bulk replay has come: the numbers, each a link to its events, and what can be done about it now."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from console.replays.words import (
    OVER,
    PACES,
    counts_of,
    lasts,
    member_label,
    member_words,
    was_declined,
    what,
    why_ended,
    why_paused,
    why_words,
)
from console.ui.filter_text import SystemNames, count_events_text, load_system_names
from console.ui.formatting import render_time
from sync.models import Member, MemberState, Pace, Replay, ReplayState

LAST = 20
MOST_REASONS = 20
WIDTH = 1_000
_COLOURS: dict[str, str] = {
    MemberState.SUCCEEDED: "good",
    MemberState.SKIPPED: "quiet",
    MemberState.HELD: "warn",
    MemberState.FAILED: "bad",
    MemberState.SENT: "info",
}
_ENDED = (MemberState.SUCCEEDED, MemberState.FAILED, MemberState.HELD)
_MOVES = (ReplayState.CHOOSING, ReplayState.RUNNING, ReplayState.STOPPING)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the bar, and the same as text. `x` and `width` are of a bar that is 1,000 wide."""

    label: str
    count: int
    url: str
    colour: str
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some failed again."""

    words: str
    count: int
    url: str


def progress_page(request: HttpRequest, replay: Replay) -> dict[str, Any]:
    """The context of the page: two statements over the replay's own rows, one that names systems."""
    systems = load_system_names()
    is_second = replay.requested_by_id != request.user.pk
    may_replay = request.user.has_perm("webhooks.replay_event")
    is_sending = replay.state in (ReplayState.RUNNING, ReplayState.PAUSED) and replay.waiting > 0
    return {
        "title": _("Replay of %(events)s") % {"events": count_events_text(replay.total)},
        "replay": replay,
        "parts": parts(replay),
        "line": _line(replay),
        "now": timezone.now(),
        "what": what(replay, systems),
        "pace": PACES.get(replay.pace, ""),
        "why_paused": why_paused(replay) if replay.state == ReplayState.PAUSED else "",
        "why_ended": why_ended(replay),
        "was_approved": replay.decided_by is not None and not was_declined(replay),
        "is_over": _is_over(replay),
        "reasons": _reasons(replay, systems),
        "last": _last(replay, systems),
        "poll": 2 if replay.state in _MOVES or replay.under_way else 10 if _waits(replay) else 0,
        "may": {
            "pause": may_replay and is_sending and replay.state == ReplayState.RUNNING,
            "go_on": may_replay and replay.state == ReplayState.PAUSED,
            "stop": may_replay and is_sending,
            "approve": _waits(replay) and is_second and request.user.has_perm("sync.approve_replay"),
            "withdraw": _waits(replay) and not is_second,
            "again": may_replay and replay.failed and _is_over(replay),
        },
        "paces": [(value, PACES[value]) for value in (Pace.GENTLE, Pace.NORMAL)],
        "again": _("Replay the %(number)s that failed again…") % {"number": f"{replay.failed:,}"},
        "left": count_events_text(replay.waiting),
    }


def parts(replay: Replay) -> list[Part]:
    """The bar from left to right, without what is empty; what waits, or was not sent any more, is its ground."""
    address = reverse("admin:sync_replay_members", args=[replay.uuid])
    found, x = [], 0
    for state, count in counts_of(replay).items():
        width = round(WIDTH * count / replay.total) if replay.total else 0
        if count or state in (MemberState.SUCCEEDED, MemberState.FAILED):
            found.append(
                Part(
                    member_label(replay, state),
                    count,
                    f"{address}?member={state}",
                    _COLOURS.get(state, ""),
                    x,
                    min(width, WIDTH - x),
                )
            )
        x += width
    return found


def _is_over(replay: Replay) -> bool:
    return replay.state in OVER


def _waits(replay: Replay) -> bool:
    return replay.state == ReplayState.AWAITING


def _line(replay: Replay) -> str:
    """`312 of 486 · about 35 s left`: of the whole set, what is skipped is done."""
    told = _("%(done)s of %(total)s") % {
        "done": f"{replay.ended + replay.skipped:,}",
        "total": f"{replay.total:,}",
    }
    if (
        replay.state == ReplayState.RUNNING
        and replay.waiting
        and (left := lasts(replay.waiting, replay.pace))
    ):
        return f"{told} · " + _("%(time)s left") % {"time": left}
    return told


def _reasons(replay: Replay, systems: SystemNames) -> list[Reason]:
    if not replay.failed:
        return []
    failed = Member.objects.filter(replay=replay, state=MemberState.FAILED).order_by()
    counted = failed.values_list("why").annotate(number=Count("pk")).order_by("-number", "why")[:MOST_REASONS]
    address = reverse("admin:sync_replay_members", args=[replay.uuid])
    return [
        Reason(
            why_words(MemberState.FAILED, why, replay, systems), count, f"{address}?member=failed&why={why}"
        )
        for why, count in counted
    ]


def _last(replay: Replay, systems: SystemNames) -> list[tuple[Member, str, object]]:
    """What ended last, newest first."""
    ended = Member.objects.filter(replay=replay, state__in=_ENDED).select_related("event")
    rows = ended.order_by("-at", "-id")[:LAST]
    return [
        (each, member_words(each.state, each.why, replay, systems), render_time(each.at)) for each in rows
    ]
