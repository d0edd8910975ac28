"""Record the results of sent events; pause the replay if too many failed; finish it.

A failure that the hub will retry is no result while the delivery is open: the member is `retrying`, and ends with the
delivery. It counts for the pause at once, because the person who watches must see soon that the cause is not fixed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from sync.jobs.running_job import RunningJob
from sync.models import (
    OBSERVED_CODE,
    OBSERVED_CODES,
    OPEN_STATES,
    RESULTLESS_OUTCOMES,
    Attempt,
    AttemptOutcome,
    Delivery,
    MemberState,
    PersonRequest,
    PersonRequestMember,
    PersonRequestState,
    ReplayPace,
    ReplayPauseReason,
)
from webhooks.models import State

# With fewer events tried a share of failures means nothing.
MIN_TRIED = 5
_MAX_MEMBERS = 500
_GOOD_OUTCOMES = (AttemptOutcome.SUCCEEDED, AttemptOutcome.UNCHANGED, AttemptOutcome.SUPERSEDED)
# A held delivery has a result: a person decides.
_UNFINISHED_STATES = tuple(state for state in OPEN_STATES if state != State.HELD)
_GOOD_STATES = (State.SUCCEEDED, State.UNCHANGED, State.SUPERSEDED)


@dataclass(frozen=True, slots=True)
class MemberResult:
    """Result of a member, or of one of its deliveries; `code` if it failed."""

    state: MemberState
    code: str = ""


def record_results(job: RunningJob) -> int:
    """Record the results of a replay's sent events. Returns the number of members whose state changed. Raises
    JobLost.
    """
    with transaction.atomic():
        locked = PersonRequest.objects.select_for_update(no_key=True)
        replay = locked.filter(pk=job.subject, state__in=("running", "paused", "stopping")).first()
        if replay is None:
            return 0
        # Locks the job until the commit: a worker that slept past its lease writes no results.
        job.renew_lease()
        tried = _results_of(replay, _sent_events(replay))
        _store_results(replay, MemberState.SENT, tried)
        ended = _results_of(replay, _events_after_retries(replay))
        _store_results(replay, MemberState.RETRYING, ended)
        _pause_or_finish(replay)
    return len(tried) + len(ended)


def _sent_events(replay: PersonRequest) -> list[int]:
    """Return the events whose first attempt has not ended as far as is recorded."""
    if not replay.in_progress_count:
        return []
    sent = PersonRequestMember.objects.filter(person_request=replay, state=MemberState.SENT).order_by("event")
    return list(sent.values_list("event_id", flat=True)[:_MAX_MEMBERS])


def _events_after_retries(replay: PersonRequest) -> list[int]:
    """Return the events that were to be retried and have no open delivery any more."""
    if not replay.retrying:
        return []
    is_open = Exists(Delivery.objects.filter(event=OuterRef("event"), state__in=_UNFINISHED_STATES))
    retried = PersonRequestMember.objects.filter(~is_open, person_request=replay, state=MemberState.RETRYING)
    return list(retried.order_by("event").values_list("event_id", flat=True)[:_MAX_MEMBERS])


def _results_of(replay: PersonRequest, events: Sequence[int]) -> dict[int, MemberResult]:
    """Return the results of these members by event, those without one left out."""
    if not events:
        return {}
    rows: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in Delivery.objects.filter(event__in=events):
        rows[delivery.event_id].append(delivery)
    attempts = {
        attempt.delivery_id: attempt
        for attempt in Attempt.objects.filter(person_request=replay, delivery__event__in=events)
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
    delivery: Delivery, replay: PersonRequest, attempts: Mapping[int, Attempt]
) -> MemberResult | None:
    """Return the result of a delivery; None if its first attempt has not ended.

    Without an attempt of this replay, the delivery still waits or was ended by something else. A failure that may be
    retried is none while the delivery is open, and what its retries ended with after that.
    """
    attempt = attempts.get(delivery.pk)
    if attempt is None and delivery.person_request_id == replay.pk and delivery.state in OPEN_STATES:
        return None
    # The process of the attempt died: the attempt that follows decides.
    if attempt is None or attempt.outcome in RESULTLESS_OUTCOMES:
        return _result_by_state(delivery)
    return None if attempt.outcome == AttemptOutcome.STARTED else _result_of_attempt(attempt, delivery)


def _result_of_attempt(attempt: Attempt, delivery: Delivery) -> MemberResult:
    """Return the result that an ended attempt gives its delivery."""
    if attempt.outcome == AttemptOutcome.FAILED and attempt.is_retryable:
        return _result_by_state(delivery) or MemberResult(MemberState.RETRYING, attempt.code)
    if attempt.outcome in _GOOD_OUTCOMES:
        return MemberResult(MemberState.SUCCEEDED)
    if attempt.outcome == AttemptOutcome.HELD:
        return MemberResult(MemberState.HELD, "held")
    if attempt.outcome == AttemptOutcome.IGNORED:
        return _ignored_result(attempt.code if attempt.code in OBSERVED_CODES else delivery.code)
    return MemberResult(MemberState.FAILED, attempt.code)


def _result_by_state(delivery: Delivery) -> MemberResult | None:
    """Return the result by the delivery's state if no attempt shows it: its process died, a person closed it, or its
    entity was erased.
    """
    if delivery.state in _GOOD_STATES:
        return MemberResult(MemberState.SUCCEEDED)
    if delivery.state == State.HELD:
        return MemberResult(MemberState.HELD, "held")
    if delivery.state in (State.DEAD, State.CLOSED):
        return MemberResult(MemberState.FAILED, delivery.code)
    if delivery.state == State.IGNORED:
        return _ignored_result(delivery.code)
    # After a crash the delivery is retried without having failed.
    if delivery.state == State.RETRYING and delivery.code != "interrupted":
        return MemberResult(MemberState.RETRYING, delivery.code)
    return None


def _ignored_result(code: str) -> MemberResult:
    """Return the result of a delivery for which nothing was to be written. If its route observed, it failed: the person
    wanted a write.
    """
    is_observed = code in OBSERVED_CODES
    return (
        MemberResult(MemberState.FAILED, OBSERVED_CODE)
        if is_observed
        else MemberResult(MemberState.SUCCEEDED)
    )


def _worst_result(results: Iterable[MemberResult]) -> MemberResult:
    """Return the worst of several results. One that may still change comes first."""
    order = (MemberState.RETRYING, MemberState.FAILED, MemberState.HELD, MemberState.SUCCEEDED)
    return min(
        results,
        key=lambda result: order.index(result.state),
        default=MemberResult(MemberState.FAILED, "closed"),
    )


def _store_results(replay: PersonRequest, before: MemberState, results: Mapping[int, MemberResult]) -> None:
    """Store the results of members that were in the state `before`."""
    if not results:
        return
    now, members = timezone.now(), PersonRequestMember.objects.filter(person_request=replay, state=before)
    for member_result in set(results.values()):
        events = [event for event, result in results.items() if result == member_result]
        members.filter(event__in=events).update(state=member_result.state, why=member_result.code, at=now)
    counts = Counter(result.state for result in results.values())
    is_first = before == MemberState.SENT
    first_failures = counts[MemberState.RETRYING] + counts[MemberState.FAILED] if is_first else 0
    PersonRequest.objects.filter(pk=replay.pk).update(
        succeeded=F("succeeded") + counts[MemberState.SUCCEEDED],
        failed=F("failed") + counts[MemberState.FAILED],
        held=F("held") + counts[MemberState.HELD],
        retrying=F("retrying") + counts[MemberState.RETRYING] - (0 if is_first else len(results)),
        first_failures=F("first_failures") + first_failures,
    )
    replay.refresh_from_db()


def _pause_or_finish(replay: PersonRequest) -> None:
    """Finish the replay if no event is left, or pause it if there is a reason."""
    has_open = replay.ended_count < replay.events
    if not has_open and replay.state == PersonRequestState.STOPPING:
        end_replay(replay, PersonRequestState.STOPPED)
    elif not has_open and not _has_waiting(replay):
        end_replay(replay, PersonRequestState.FINISHED)
    elif replay.state == PersonRequestState.RUNNING:
        reason = _pause_reason(replay)
        if reason is not None:
            pause_automatically(replay, reason)


def _has_waiting(replay: PersonRequest) -> bool:
    """Return True if events still wait. Reads the rows, because retention may have deleted counted ones."""
    return PersonRequestMember.objects.filter(person_request=replay, state=MemberState.WAITING).exists()


def _pause_reason(replay: PersonRequest) -> ReplayPauseReason | None:
    if replay.pace == ReplayPace.FIRST:
        return ReplayPauseReason.FIRST if replay.tried_count else None
    tried = replay.tried_count - replay.seen_tried
    failed = replay.first_failures - replay.seen_failed
    if replay.pauses_above is None or tried < MIN_TRIED:
        return None
    return ReplayPauseReason.FAILING if failed * 100 > replay.pauses_above * tried else None


def pause_automatically(replay: PersonRequest, reason: ReplayPauseReason) -> None:
    """Pause a locked replay by decision of the hub, until a person resumes it."""
    PersonRequest.objects.filter(pk=replay.pk).update(state=PersonRequestState.PAUSED, pause_reason=reason)
    details = {"why": str(reason), "tried": replay.tried_count, "failed": replay.first_failures}
    append_entries(NewEntry(replay.stream, "replay.paused", details=details))


def end_replay(replay: PersonRequest, state: PersonRequestState) -> None:
    """End a locked replay, finished or stopped."""
    now = timezone.now()
    # A replay that was stopped has its time already.
    ended_at = replay.ended_at or now
    PersonRequest.objects.filter(pk=replay.pk).update(state=state, ended_at=ended_at, due_at=None)
    if state == PersonRequestState.FINISHED:
        counts = {name: getattr(replay, name) for name in ("total", "skipped", "succeeded", "failed", "held")}
        append_entries(NewEntry(replay.stream, "replay.finished", details=counts), at=now)
