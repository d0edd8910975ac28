"""Record the results of sent events; pause the replay if too many failed again; finish it.

A member has ended when each attempt that the replay caused has. A failure that the hub will retry counts as
failed, because the person who watches must see it soon.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from sync.jobs.running_job import RunningJob
from sync.models import (
    OPEN_STATES,
    Attempt,
    AttemptOutcome,
    Delivery,
    MemberState,
    Replay,
    ReplayMember,
    ReplayPace,
    ReplayPauseReason,
    ReplayState,
)
from webhooks.models import State

# With fewer ended events a share of failures means nothing.
MIN_ENDED = 5
_MAX_MEMBERS = 500
_GOOD_OUTCOMES = (AttemptOutcome.SUCCEEDED, AttemptOutcome.UNCHANGED, AttemptOutcome.SUPERSEDED)
_GOOD_STATES = (State.SUCCEEDED, State.UNCHANGED, State.SUPERSEDED)


@dataclass(frozen=True, slots=True)
class MemberResult:
    """Result of a member, or of one of its deliveries; `code` if it failed."""

    state: MemberState
    code: str = ""


def record_results(job: RunningJob) -> int:
    """Record the results of a replay's sent events. Returns the number of members that ended. Raises JobLost."""
    with transaction.atomic():
        locked = Replay.objects.select_for_update(no_key=True)
        replay = locked.filter(pk=job.subject, state__in=("running", "paused", "stopping")).first()
        if replay is None:
            return 0
        # Locks the job until the commit: a worker that slept past its lease writes no results.
        job.renew_lease()
        ended = _ended_members(replay)
        if ended:
            _store_results(replay, ended)
        _pause_or_finish(replay)
    return len(ended)


def _ended_members(replay: Replay) -> dict[int, MemberResult]:
    """Return the results of the members that have ended, by event."""
    if not replay.in_progress_count:
        return {}
    sent = ReplayMember.objects.filter(replay=replay, state=MemberState.SENT).order_by("event")[:_MAX_MEMBERS]
    events = list(sent.values_list("event_id", flat=True))
    rows: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in Delivery.objects.filter(event__in=events):
        rows[delivery.event_id].append(delivery)
    attempts = {
        attempt.delivery_id: attempt
        for attempt in Attempt.objects.filter(replay=replay, delivery__event__in=events)
    }
    results = {
        event: [_delivery_result(delivery, replay, attempts) for delivery in rows[event]] for event in events
    }
    return {
        event: _worst_result(filter(None, delivery_results))
        for event, delivery_results in results.items()
        if all(delivery_results)
    }


def _delivery_result(
    delivery: Delivery, replay: Replay, attempts: Mapping[int, Attempt]
) -> MemberResult | None:
    """Return the result of a delivery; None if it has not ended.

    Without an attempt of this replay, the delivery still waits or was ended by something else.
    """
    attempt = attempts.get(delivery.pk)
    if attempt is None and delivery.replay_id == replay.pk and delivery.state in OPEN_STATES:
        return None
    # The process of the attempt died: the attempt that follows decides.
    if attempt is None or attempt.outcome == AttemptOutcome.UNKNOWN:
        return _result_by_state(delivery)
    if attempt.outcome == AttemptOutcome.STARTED:
        return None
    if attempt.outcome in _GOOD_OUTCOMES:
        return MemberResult(MemberState.SUCCEEDED)
    if attempt.outcome == AttemptOutcome.HELD:
        return MemberResult(MemberState.HELD, "held")
    return MemberResult(MemberState.FAILED, attempt.code)


def _result_by_state(delivery: Delivery) -> MemberResult | None:
    """Return the result by the delivery's state if no attempt shows it: its process died, a person closed it, or its
    entity was erased.
    """
    if delivery.state in _GOOD_STATES:
        return MemberResult(MemberState.SUCCEEDED)
    if delivery.state == State.HELD:
        return MemberResult(MemberState.HELD, "held")
    # After a crash the delivery is retried without having failed.
    has_failed = delivery.state == State.RETRYING and delivery.code != "interrupted"
    if delivery.state in (State.DEAD, State.CLOSED) or has_failed:
        return MemberResult(MemberState.FAILED, delivery.code)
    return None


def _worst_result(results: Iterable[MemberResult]) -> MemberResult:
    """Return the worst of several results: failed, then held."""
    order = (MemberState.FAILED, MemberState.HELD, MemberState.SUCCEEDED)
    return min(
        results,
        key=lambda result: order.index(result.state),
        default=MemberResult(MemberState.FAILED, "closed"),
    )


def _store_results(replay: Replay, ended: Mapping[int, MemberResult]) -> None:
    now, members = timezone.now(), ReplayMember.objects.filter(replay=replay, state=MemberState.SENT)
    for member_result in set(ended.values()):
        events = [event for event, result in ended.items() if result == member_result]
        members.filter(event__in=events).update(state=member_result.state, why=member_result.code, at=now)
    counts = Counter(result.state for result in ended.values())
    Replay.objects.filter(pk=replay.pk).update(
        succeeded=F("succeeded") + counts[MemberState.SUCCEEDED],
        failed=F("failed") + counts[MemberState.FAILED],
        held=F("held") + counts[MemberState.HELD],
    )
    replay.refresh_from_db()


def _pause_or_finish(replay: Replay) -> None:
    """Finish the replay if no event is left, or pause it if there is a reason."""
    if replay.in_progress_count == 0 and replay.state == ReplayState.STOPPING:
        end_replay(replay, ReplayState.STOPPED)
    elif replay.in_progress_count == 0 and not _has_waiting(replay):
        end_replay(replay, ReplayState.FINISHED)
    elif replay.state == ReplayState.RUNNING:
        reason = _pause_reason(replay)
        if reason is not None:
            pause_automatically(replay, reason)


def _has_waiting(replay: Replay) -> bool:
    """Return True if events still wait. Reads the rows, because retention may have deleted counted ones."""
    return ReplayMember.objects.filter(replay=replay, state=MemberState.WAITING).exists()


def _pause_reason(replay: Replay) -> ReplayPauseReason | None:
    if replay.pace == ReplayPace.FIRST:
        return ReplayPauseReason.FIRST if replay.ended_count else None
    ended, failed = replay.ended_count - replay.seen_ended, replay.failed - replay.seen_failed
    if replay.pauses_above is None or ended < MIN_ENDED:
        return None
    return ReplayPauseReason.FAILING if failed * 100 > replay.pauses_above * ended else None


def pause_automatically(replay: Replay, reason: ReplayPauseReason) -> None:
    """Pause a locked replay by decision of the hub, until a person resumes it."""
    Replay.objects.filter(pk=replay.pk).update(state=ReplayState.PAUSED, pause_reason=reason)
    details = {"why": str(reason), "ended": replay.ended_count, "failed": replay.failed}
    append_entries(NewEntry(replay.stream, "replay.paused", details=details))


def end_replay(replay: Replay, state: ReplayState) -> None:
    """End a locked replay, finished or stopped."""
    now = timezone.now()
    # A replay that was stopped has its time already.
    ended_at = replay.ended_at or now
    Replay.objects.filter(pk=replay.pk).update(state=state, ended_at=ended_at, due_at=None)
    if state == ReplayState.FINISHED:
        counts = {name: getattr(replay, name) for name in ("total", "skipped", "succeeded", "failed", "held")}
        append_entries(NewEntry(replay.stream, "replay.finished", details=counts), at=now)
