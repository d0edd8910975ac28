"""Send the events of a bulk replay at its pace, each batch in one short commit.

The replay's row and its job are locked for the commit, so no member is sent twice: a worker that slept past
its lease has lost the job and sends nothing. After a crash before the commit nothing was sent; after it, the
workers find the deliveries.

New webhooks have priority: while an older delivery that is not a replay could run for the same target, nothing
is sent, and only a few seconds of the pace are in progress at once. With the pace `answered`, nothing is sent while a
circuit breaker is open or a person has paused one of the two connections.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from audit.entries.append import append_entries
from database.clock import database_now, read_clock
from database.statement import Statement
from database.write_batch import WriteBatch
from sync.deliveries.creation import open_deliveries
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.predicates import can_run, may_run_beside_others
from sync.execution.executor import defer_to_workers
from sync.jobs.running_job import RunningJob
from sync.models import (
    Connection,
    Delivery,
    MemberState,
    PersonRequest,
    PersonRequestMember,
    PersonRequestState,
    ReplayPace,
    Route,
    SkipReason,
)
from sync.replays.entity_members import SentMembers, send_entities, waiting_entities
from sync.replays.requests import live_routes, mark_for_replay, replayed_entry
from sync.replays.skip_rules import find_skipped
from webhooks.models import Event

EVENTS_PER_MINUTE = {
    ReplayPace.GENTLE: 300,
    ReplayPace.NORMAL: 1_200,
    ReplayPace.FIRST: 300,
    ReplayPace.ANSWERED: 300,
}
# Seconds of its pace that may be in progress at once, so that new webhooks find the targets free.
WINDOW_SECONDS = 5.0
# Limits the burst after delayed steps.
_MAX_CATCH_UP = timedelta(seconds=2)
# Members read beyond those that are sent, because many may be skipped.
_EXTRA_MEMBERS = 40
_MAX_NEW_ROWS = 200

_NEW_DELIVERIES = Statement(
    f"""SELECT d.target_id FROM sync_delivery d
    WHERE {can_run("d", at="{clock}")} AND {may_run_beside_others("d")} AND d.person_request_id IS NULL
    ORDER BY d.due_at, d.id LIMIT %s"""  # noqa: S608
)
# A new delivery that starts within this time does not hold up a replay.
NEW_DELIVERY_WAIT_SECONDS = 1.0


def send_due_events(job: RunningJob) -> int:
    """Send the due events of a running replay. Returns the number of deliveries. Raises JobLost."""
    # Checked without a lock first: most steps find nothing due.
    if not PersonRequest.objects.filter(
        pk=job.subject, state=PersonRequestState.RUNNING, due_at__lte=database_now()
    ).exists():
        return 0
    deliveries = _send_batch(job, _targets_with_new_backlog())
    defer_to_workers(deliveries)
    return len(deliveries)


def _targets_with_new_backlog() -> set[int]:
    """Return the targets for which a new delivery that could run has waited for a second."""
    return {row[0] for row in _NEW_DELIVERIES.fetch_all(-NEW_DELIVERY_WAIT_SECONDS, _MAX_NEW_ROWS)}


def _send_batch(job: RunningJob, busy_targets: set[int]) -> list[int]:
    with transaction.atomic():
        # FOR NO KEY UPDATE: attempts that refer to the replay can be inserted meanwhile.
        running = PersonRequest.objects.select_for_update(no_key=True).filter(
            pk=job.subject, state=PersonRequestState.RUNNING
        )
        replay, now = running.first(), read_clock()
        if replay is None or replay.due_at is None or replay.due_at > now:
            return []
        limit = _count_sendable(replay, now)
        members = _select_members(replay, 2 * limit + _EXTRA_MEMBERS) if limit else []
        if not members or _must_yield(replay, members[:limit], busy_targets):
            return []
        if replay.pace == ReplayPace.ANSWERED and waits_for_systems(replay, members[:limit]):
            return []
        # Locks the job until the commit: a worker that slept past its lease fails here and sends nothing.
        job.renew_lease()
        sent = send_entities if replay.makes_equal else _send_events
        return _record_sent(replay, sent(replay, members, limit), now)


def _count_sendable(replay: PersonRequest, now: datetime) -> int:
    """Return the number of events that may be sent now."""
    if replay.pace == ReplayPace.FIRST:
        return 1 if not replay.events else 0
    per_second = EVENTS_PER_MINUTE[ReplayPace(replay.pace)] / 60
    late = min(now - (replay.due_at or now), _MAX_CATCH_UP).total_seconds()
    window = int(per_second * WINDOW_SECONDS) - replay.in_progress_count
    return max(0, min(int(late * per_second) + 1, window))


def _select_members(replay: PersonRequest, limit: int) -> list[PersonRequestMember]:
    """Select the oldest waiting members, one of each entity, without entities in progress: this keeps
    their order.
    """
    if replay.makes_equal:
        # One member an entity.
        return list(waiting_entities(replay)[:limit])
    members = PersonRequestMember.objects.filter(person_request=replay)
    busy = list(members.filter(state=MemberState.SENT).values_list("event__entity_id", flat=True))
    waiting = members.filter(state=MemberState.WAITING).exclude(event__entity_id__in=busy)
    oldest: dict[tuple[str, str], PersonRequestMember] = {}
    for member in waiting.select_related("event__source").order_by("event")[:limit]:
        event = _event_of(member)
        oldest.setdefault((event.entity_type, event.entity_id), member)
    return list(oldest.values())


def _event_of(member: PersonRequestMember) -> Event:
    assert member.event is not None, "only an entity of a route has no event"
    return member.event


def _must_yield(
    replay: PersonRequest, members: Sequence[PersonRequestMember], busy_targets: set[int]
) -> bool:
    if not busy_targets or replay.route is not None:
        return replay.route is not None and replay.route.target_id in busy_targets
    deliveries = Delivery.objects.filter(event__in=[member.event_id for member in members])
    return deliveries.filter(target__in=busy_targets).exists()


def waits_for_systems(replay: PersonRequest, members: Iterable[PersonRequestMember]) -> bool:
    """True if a system of these members does not respond: its circuit breaker is open, or its connection is paused."""
    is_silent = Q(breaker__open_until__gt=database_now()) | Q(paused_at__isnull=False)
    silent = set(Connection.objects.filter(is_silent).values_list("pk", flat=True))
    if not silent or replay.route is not None:
        return replay.route is not None and bool(silent & {replay.route.identity_id, replay.route.target_id})
    deliveries = Delivery.objects.filter(event__in=[member.event_id for member in members])
    return deliveries.filter(Q(identity__in=silent) | Q(target__in=silent)).exists()


def _record_sent(replay: PersonRequest, sent: SentMembers, now: datetime) -> list[int]:
    _update_counts(replay, sent.sent, sent.skipped, len(sent.deliveries), now)
    append_entries(*sent.entries)
    return list(sent.deliveries)


def _send_events(replay: PersonRequest, members: Sequence[PersonRequestMember], limit: int) -> SentMembers:
    events = [_event_of(member) for member in members]
    # Locked in the same order as by other requests, which prevents deadlocks. No delivery changes between the check
    # and the marking.
    list(Delivery.objects.select_for_update().filter(event__in=events).order_by("event_id", "pk").only("pk"))
    # Checked again: since the selection an event may have succeeded, or been superseded, erased or replayed.
    skipped = find_skipped(events, replay)
    sent: list[Event] = []
    checked: list[Event] = []
    for event in events:
        if event.pk not in skipped:
            if len(sent) == limit:
                break
            sent.append(event)
        checked.append(event)
    batch = WriteBatch()
    # An event without a delivery takes the present routes.
    opened = {
        event.pk: open_deliveries(event, live_routes(event), batch).opened_rows.deliveries
        for event in _without_deliveries(sent)
    }
    batch.run()
    replayed_deliveries = Delivery.objects.filter(event__in=sent, route__mode=Route.Mode.LIVE)
    reopened = mark_for_replay(replayed_deliveries, replay)
    deliveries = list(replayed_deliveries.order_by("event_id", "pk").values_list("pk", flat=True))
    refresh_event_states(event.pk for event in sent)
    _mark_members(replay, sent, {event.pk: skipped[event.pk] for event in checked if event.pk in skipped})
    details = {"person_request": str(replay.uuid), "of": replay.total}
    replayed = [replayed_entry(event, replay, details, opened.get(event.pk, ())) for event in sent]
    return SentMembers(len(sent), len(checked) - len(sent), deliveries, [*replayed, *reopened])


def _without_deliveries(events: Sequence[Event]) -> list[Event]:
    delivered_events = set(Delivery.objects.filter(event__in=events).values_list("event_id", flat=True))
    return [event for event in events if event.pk not in delivered_events]


def _mark_members(replay: PersonRequest, sent: Sequence[Event], skipped: dict[int, SkipReason]) -> None:
    now, members = (
        timezone.now(),
        PersonRequestMember.objects.filter(person_request=replay, state=MemberState.WAITING),
    )
    members.filter(event__in=sent).update(state=MemberState.SENT, at=now)
    for skip_reason in set(skipped.values()):
        events = [event for event, reason in skipped.items() if reason == skip_reason]
        members.filter(event__in=events).update(state=MemberState.SKIPPED, why=skip_reason, at=now)


def _update_counts(replay: PersonRequest, sent: int, skipped: int, deliveries: int, now: datetime) -> None:
    """Update the counts of the replay, and move its due time by the time that the sent events take at its pace."""
    pause = timedelta(seconds=sent * 60 / EVENTS_PER_MINUTE[ReplayPace(replay.pace)])
    PersonRequest.objects.filter(pk=replay.pk).update(
        events=F("events") + sent,
        skipped=F("skipped") + skipped,
        deliveries=F("deliveries") + deliveries,
        # Counted from the due time, so that late steps do not slow the pace, but with a bounded burst.
        due_at=max(replay.due_at or now, now - _MAX_CATCH_UP) + pause,
    )
