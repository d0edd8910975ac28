"""Load the results of single replays, and of decisions on held deliveries."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console.ui.event_filters import count_events_text
from console.ui.event_names import event_name
from console.ui.outcome_texts import describe_code, render_pill, render_state_pill
from sync.models import (
    RESULTLESS_OUTCOMES,
    WAITING_STATES,
    Attempt,
    AttemptOutcome,
    Delivery,
    PersonRequest,
    PersonRequestKind,
)
from webhooks.models import Event, State

MAX_SHOWN = 50
_WORST = (
    AttemptOutcome.STARTED,
    *RESULTLESS_OUTCOMES,
    AttemptOutcome.FAILED,
    AttemptOutcome.HELD,
    AttemptOutcome.IGNORED,
)


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of a single replay. `event` is None if it is not known; `reason` says why it failed."""

    event: Event | None
    mark: SafeString
    reason: str = ""

    @property
    def words(self) -> str:
        return name_with_entity(self.event) if self.event else _("one event")


@dataclass(frozen=True, slots=True)
class ReplayedEventRow:
    """One event on a replay's page: its result, the reason and the time."""

    event: Event
    mark: SafeString
    reason: str
    at: datetime


def name_with_entity(event: Event) -> str:
    return f"{event_name(event.event_type, event.entity_type)}, {event.entity_id}"


def is_single(replay: PersonRequest) -> bool:
    """Return True for a replay of one event, which is sent immediately."""
    return replay.kind == PersonRequestKind.REPLAY and not replay.is_bulk and replay.events < 2


def attach_results(replays: Sequence[PersonRequest]) -> None:
    """Set `result` on each single replay, by three statements for all."""
    singles = {replay.pk: replay for replay in replays if is_single(replay)}
    tried: dict[int, list[Attempt]] = defaultdict(list)
    begun = list(_attempts_with_systems().filter(person_request__in=singles))
    for first, attempt in zip(begun, _newest_retries(begun), strict=True):
        tried[first.person_request_id].append(attempt)  # type: ignore[index]
    # Only replays without an attempt can still be waiting.
    waiting = _waiting_events([pk for pk in singles if pk not in tried])
    for pk, replay in singles.items():
        attempts = tried.get(pk)
        result = _worst_result(attempts) if attempts else _result_without_attempt(waiting.get(pk), replay)
        replay.result = result  # type: ignore[attr-defined]


def result_rows(replay: PersonRequest) -> list[ReplayedEventRow]:
    """Return rows for the newest attempts; for a closing, which has none, the deliveries it closed that were not
    replayed since.
    """
    if replay.kind == PersonRequestKind.CLOSING:
        closed = (
            Delivery.objects.filter(person_request=replay).select_related("event").order_by("-id")[:MAX_SHOWN]
        )
        return [
            ReplayedEventRow(delivery.event, render_state_pill(delivery.state), "", replay.created_at)
            for delivery in closed
        ]
    begun = list(_attempts_with_systems().filter(person_request=replay).order_by("-id")[:MAX_SHOWN])
    return [_result_row(attempt) for attempt in _newest_retries(begun)]


def summary_text(replay: PersonRequest) -> str:
    """Return the effect of a decision, or of a replay of several events, as a count."""
    count = count_events_text(replay.events)
    if replay.kind == PersonRequestKind.APPROVAL:
        return _("%(events)s approved") % {"events": count}
    if replay.kind == PersonRequestKind.CLOSING:
        return _("%(events)s closed") % {"events": count}
    return _("%(events)s sent again") % {"events": count}


def _attempts_with_systems() -> QuerySet[Attempt]:
    return Attempt.objects.select_related("delivery__event", "delivery__identity", "delivery__target")


def _newest_retries(begun: Sequence[Attempt]) -> list[Attempt]:
    """Return for each of these attempts the last of its automatic retries, itself if there is none: a failure that
    may be retried is no result.
    """
    retried = [attempt.delivery_id for attempt in begun if _may_be_retried(attempt)]
    following: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in _attempts_with_systems().filter(delivery__in=retried).order_by("number"):
        following[attempt.delivery_id].append(attempt)
    return [_last_retry(attempt, following[attempt.delivery_id]) for attempt in begun]


def _last_retry(attempt: Attempt, following: Sequence[Attempt]) -> Attempt:
    last = attempt
    for later in following:
        if later.number <= last.number:
            continue
        # Another replay has a result of its own.
        if later.person_request_id is not None or not _may_be_retried(last):
            break
        last = later
    return last


def _may_be_retried(attempt: Attempt) -> bool:
    has_failed = attempt.outcome == AttemptOutcome.FAILED and attempt.is_retryable
    return has_failed or attempt.outcome in RESULTLESS_OUTCOMES


def _is_retried(attempt: Attempt) -> bool:
    """Return True if a retry of this failed attempt is ahead: it is the newest one of an open delivery."""
    delivery = attempt.delivery
    is_newest = attempt.number == delivery.last_number
    return _may_be_retried(attempt) and is_newest and delivery.state in WAITING_STATES


def _waiting_events(keys: Sequence[int]) -> dict[int, Event]:
    """Return by replay the event that still waits for it."""
    rows = Delivery.objects.filter(person_request__in=keys, state__in=(State.PENDING, State.RETRYING))
    return {delivery.person_request_id: delivery.event for delivery in rows.select_related("event")}  # type: ignore[misc]


def _result_row(attempt: Attempt) -> ReplayedEventRow:
    at = attempt.ended_at or attempt.started_at
    return ReplayedEventRow(attempt.delivery.event, _outcome_pill(attempt), _failure_reason(attempt), at)


def _failure_reason(attempt: Attempt) -> str:
    if attempt.outcome != AttemptOutcome.FAILED or not attempt.code:
        return ""
    return describe_code(attempt.code, attempt.delivery.connection_of_code(attempt.code).name).title


def _worst_result(attempts: Sequence[Attempt]) -> ReplayResult:
    """Return the worst result among the attempts of several systems."""
    worst = min(
        attempts,
        key=lambda attempt: _WORST.index(attempt.outcome) if attempt.outcome in _WORST else len(_WORST),
    )
    return ReplayResult(worst.delivery.event, _outcome_pill(worst), _failure_reason(worst))


def _result_without_attempt(event: Event | None, replay: PersonRequest) -> ReplayResult:
    """Return the result of a replay without attempts: the event waits, no route took it, or its data was deleted."""
    if event is not None:
        return ReplayResult(event, render_pill("quiet", "○", _("Queued")))
    if not replay.deliveries:
        return ReplayResult(None, render_pill("quiet", "–", _("Nothing was sent")))
    return ReplayResult(None, render_pill("quiet", "–", _("No longer stored")))


def _outcome_pill(attempt: Attempt) -> SafeString:
    if attempt.outcome == AttemptOutcome.FAILED and _is_retried(attempt):
        return render_pill("retrying", "↻", _("Failed, will be retried"))
    style, shape, word = {
        AttemptOutcome.STARTED: ("running", "▸", _("In progress")),
        AttemptOutcome.UNKNOWN: ("running", "▸", _("Interrupted, retrying")),
        AttemptOutcome.INTERRUPTED: ("running", "▸", _("Interrupted, retrying")),
        AttemptOutcome.FAILED: ("dead", "✕", _("Failed again")),
        AttemptOutcome.HELD: ("held", "‖", _("Held for approval")),
        AttemptOutcome.UNCHANGED: ("good", "=", _("Nothing to change")),
        AttemptOutcome.SUPERSEDED: ("quiet", "↷", _("Superseded by a newer event")),
        AttemptOutcome.IGNORED: ("quiet", "–", _("Nothing was sent")),
    }.get(AttemptOutcome(attempt.outcome), ("good", "✓", _("Succeeded")))
    return render_pill(style, shape, word)
