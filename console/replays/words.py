"""Words of the pages of bulk replays."""

from collections.abc import Mapping

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.ui.event_filters import SystemNames, count_events_text, describe_filter
from console.ui.formatting import long_duration
from console.ui.outcome_texts import render_pill
from sync.models import (
    DifferenceKind,
    MemberState,
    PersonRequest,
    PersonRequestState,
    ReplayPace,
    ReplayPauseReason,
    SkipReason,
)
from sync.replays.difference_selection import selected_kinds

_STATES: Mapping[str, tuple[str, str, object]] = {
    PersonRequestState.CHOOSING: ("quiet", "○", gettext_lazy("Being counted")),
    PersonRequestState.CHOSEN: ("quiet", "○", gettext_lazy("Not confirmed")),
    PersonRequestState.AWAITING: ("held", "‖", gettext_lazy("Waiting for approval")),
    PersonRequestState.RUNNING: ("running", "▸", gettext_lazy("Running")),
    PersonRequestState.PAUSED: ("warn", "‖", gettext_lazy("Paused")),
    PersonRequestState.STOPPING: ("closed", "⊘", gettext_lazy("Stopping")),
    PersonRequestState.STOPPED: ("closed", "⊘", gettext_lazy("Stopped")),
    PersonRequestState.FINISHED: ("good", "✓", gettext_lazy("Finished")),
}
REASON_MISSING = {"required": gettext_lazy("Enter a reason. It is stored with the replay.")}
MEMBER_LABELS: Mapping[str, object] = {
    MemberState.SUCCEEDED: gettext_lazy("succeeded"),
    MemberState.SKIPPED: gettext_lazy("skipped"),
    MemberState.FAILED: gettext_lazy("failed again"),
    MemberState.HELD: gettext_lazy("held for approval"),
    MemberState.SENT: gettext_lazy("in progress"),
    MemberState.RETRYING: gettext_lazy("failed, will be retried"),
    MemberState.WAITING: gettext_lazy("waiting"),
}
# Of what was never sent before.
_FIRST_LABELS: Mapping[str, object] = {MemberState.FAILED: gettext_lazy("failed")}
SKIP_REASONS: Mapping[str, object] = {
    SkipReason.NEWER: gettext_lazy("a newer event for the same entity already succeeded"),
    SkipReason.DELETED: gettext_lazy("the entity no longer exists"),
    SkipReason.ERASED: gettext_lazy("the entity was erased"),
    SkipReason.UNROUTED: gettext_lazy("no route for this event"),
    SkipReason.OTHER_REPLAY: gettext_lazy("already part of another replay"),
    SkipReason.SUCCEEDED: gettext_lazy("succeeded in the meantime"),
    SkipReason.IN_DELIVERY: gettext_lazy("a delivery for the entity has not ended"),
    SkipReason.OBSERVES: gettext_lazy("the route observes"),
    SkipReason.LATER: gettext_lazy("left for another replay"),
}
PACE_LABELS: Mapping[str, object] = {
    ReplayPace.GENTLE: gettext_lazy("Gentle, 300 a minute"),
    ReplayPace.NORMAL: gettext_lazy("Normal, 1,200 a minute"),
    ReplayPace.FIRST: gettext_lazy("Send one first, then pause"),
    ReplayPace.ANSWERED: gettext_lazy("Gentle, once the system answers again"),
}
ENDED_STATES = (PersonRequestState.FINISHED, PersonRequestState.STOPPING, PersonRequestState.STOPPED)
_PER_MINUTE = {ReplayPace.GENTLE: 300, ReplayPace.NORMAL: 1_200, ReplayPace.ANSWERED: 300}
# The paces at which a paused replay can be resumed, and the texts of their buttons.
RESUME_LABELS: Mapping[str, object] = {
    ReplayPace.GENTLE: gettext_lazy("Resume, 300 a minute"),
    ReplayPace.NORMAL: gettext_lazy("Resume, 1,200 a minute"),
    ReplayPace.ANSWERED: gettext_lazy("Resume when the system answers again"),
}


def replay_mark(state: str) -> SafeString:
    style, symbol, label = _STATES[state]
    return render_pill(style, symbol, str(label))


def counts_by_state(replay: PersonRequest) -> dict[str, int]:
    """Return the number of its events in each state, from the replay's own row."""
    return {
        MemberState.SUCCEEDED: replay.succeeded,
        MemberState.SKIPPED: replay.skipped,
        MemberState.FAILED: replay.failed,
        MemberState.HELD: replay.held,
        MemberState.RETRYING: replay.retrying,
        MemberState.SENT: replay.in_progress_count,
        MemberState.WAITING: replay.waiting_count,
    }


def member_label(replay: PersonRequest, state: str) -> str:
    """Return the label of a member's state: a waiting event is not sent any more once the replay has ended."""
    if state in _FIRST_LABELS and replay.makes_equal:
        return str(_FIRST_LABELS[state])
    if state == MemberState.WAITING and replay.state in ENDED_STATES:
        return _("not sent")
    return str(MEMBER_LABELS[state])


def member_text(state: str, why: str, replay: PersonRequest, systems: SystemNames) -> str:
    """Return the result of an event, with the reason if it is known."""
    word = member_label(replay, state)
    if state == MemberState.SKIPPED:
        return f"{word}: {SKIP_REASONS.get(why, why)}"
    return f"{word}: {reason_text(state, why, replay, systems)}" if why else word


def reason_text(state: str, why: str, replay: PersonRequest, systems: SystemNames) -> str:
    if state == MemberState.SKIPPED:
        return str(SKIP_REASONS.get(why, why))
    return systems.reason_title(why, (replay.filter or {}).get("target", ""))


def count_text(replay: PersonRequest, count: int) -> str:
    """Return a number of the members of a replay: `214 events`, `214 differences`."""
    if not replay.makes_equal:
        return count_events_text(count)
    return ngettext("%(number)s difference", "%(number)s differences", count) % {"number": f"{count:,}"}


def what_text(replay: PersonRequest) -> str:
    """Return what a bulk replay does, for a title: `Replay of 3 events`, `Make 3 differences equal`."""
    text = _("Make %(events)s equal") if replay.makes_equal else _("Replay of %(events)s")
    return text % {"events": count_text(replay, replay.total)}


def button_text(replay: PersonRequest, *, needs_second: bool) -> str:
    """Return the text of the button that confirms a bulk replay."""
    if needs_second:
        text = _("Request approval for %(events)s")
    else:
        text = _("Make %(events)s equal") if replay.makes_equal else _("Replay %(events)s")
    return text % {"events": count_text(replay, replay.waiting_count)}


def _difference_sentences(replay: PersonRequest) -> list[str]:
    """Return the pair and the kinds of the differences that a request makes equal."""
    route = replay.route
    assert route is not None, "only a request for a route makes differences equal"
    names = {"type": route.entity_type, "identity": route.identity.name, "target": route.target.name}
    kinds = [
        str(DifferenceKind(kind).label) for kind in selected_kinds(replay) if kind in DifferenceKind.values
    ]
    pair = _("%(type)s of %(identity)s and %(target)s") % names
    return [pair, *(kinds or [_("selected individually")])]


def filter_sentences(replay: PersonRequest, systems: SystemNames) -> list[str]:
    """Return the filters of a replay in words, one condition each."""
    if replay.makes_equal:
        return _difference_sentences(replay)
    if replay.filter is None:
        return [_("selected individually")]
    return describe_filter(replay.filter, systems) or [_("all events")]


def remaining_time(count: int, pace: str) -> str:
    """Return the duration of `count` events at this pace: `about 35 s`, `about 2 min 24 s`; empty if unknown."""
    if pace not in _PER_MINUTE:
        return ""
    seconds = max(1, round(count / _PER_MINUTE[ReplayPace(pace)] * 60))
    return _("about %(time)s") % {"time": long_duration(seconds)}


def pause_text(replay: PersonRequest) -> str:
    """Return why the replay is paused, and the next step."""
    if replay.pause_reason == ReplayPauseReason.FIRST and replay.retrying:
        return _("The first event failed and will be retried. Check the reason below, then resume or stop.")
    if replay.pause_reason == ReplayPauseReason.FIRST:
        return _("The first event has finished. Check its result, then resume or stop.")
    if replay.pause_reason == ReplayPauseReason.FAILING:
        return _("Too many failed. Check the reasons below, fix the cause, then resume.")
    if replay.pause_reason == ReplayPauseReason.CRASHING:
        return _(
            "Sending an event crashed the worker three times. Ask an operator to check the log, then resume."
        )
    who = replay.paused_by.get_username() if replay.paused_by else ""
    return _("Paused by %(who)s. Nothing more is sent until someone resumes it.") % {"who": who}


def was_declined(replay: PersonRequest) -> bool:
    """Return True if the second person declined it, so that nothing was sent."""
    is_stopped = replay.state == PersonRequestState.STOPPED and not replay.events
    return is_stopped and replay.decided_by is not None and replay.decided_by == replay.paused_by


def ending_text(replay: PersonRequest) -> str:
    """Return who ended the replay early, and the effect; empty if it ran to its end."""
    if (
        replay.state not in (PersonRequestState.STOPPING, PersonRequestState.STOPPED)
        or replay.paused_by is None
    ):
        return ""
    names = {"who": replay.paused_by.get_username(), "events": count_text(replay, replay.waiting_count)}
    if was_declined(replay):
        return _("Rejected by %(who)s. Nothing was sent.") % names
    if not replay.events:
        return _("Stopped by %(who)s before anything was sent.") % names
    if replay.state == PersonRequestState.STOPPING:
        return (
            _("Stopped by %(who)s. Deliveries in progress will finish; %(events)s will not be sent.") % names
        )
    return _("Stopped by %(who)s. Not sent: %(events)s.") % names
