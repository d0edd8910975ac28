"""Release deliveries whose process died, once their lease has ended; isolate those that keep killing processes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from database.clock import database_now
from database.statement import Statement
from database.write_batch import WriteBatch
from sync.clock.clock_steps import adjust_times_to_clock_step
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.ordering import find_expired_of_subject
from sync.deliveries.predicates import FINAL_DEATHS, has_expired_lease
from sync.evidence.row_facts import call_facts
from sync.models import (
    OBSERVED_FAILED_CODE,
    Attempt,
    AttemptOutcome,
    Call,
    Delivery,
    Route,
    new_recheck,
)
from webhooks.models import State

CRASH_CODE = "crashes-hub"

_EXPIRED = Statement(
    f"SELECT id FROM sync_delivery WHERE {has_expired_lease()} ORDER BY lease_until LIMIT %s"  # noqa: S608
)


def release_expired_leases(limit: int) -> int:
    """Release running deliveries whose lease has ended. Returns how many.

    Skips rows that another transaction has locked.
    """
    if adjust_times_to_clock_step():
        return 0
    return _release_deliveries([row[0] for row in _EXPIRED.fetch_all(limit)], skips_locked=True)


def release_subject(delivery: Delivery) -> bool:
    """Release the subject of a delivery from a process whose lease has ended. Returns False if there was none."""
    if adjust_times_to_clock_step():
        return False
    return bool(_release_deliveries(find_expired_of_subject(delivery)))


def _release_deliveries(keys: list[int], *, skips_locked: bool = False) -> int:
    if not keys:
        return 0
    expired = Delivery.objects.filter(pk__in=keys).order_by("pk")
    return sum(release_delivery(delivery, skips_locked=skips_locked) for delivery in expired)


def release_delivery(delivery: Delivery, *, skips_locked: bool = False) -> bool:
    """Release a delivery whose lease has ended: its attempt ends, and the delivery is retried at once.

    An attempt without a write on record ends as `interrupted`, and the route's limit of attempts does not count it; any
    other ends as `unknown`.

    If it was alone in a process, and that was the third death, it crashes processes and becomes dead (ignored if its
    route observes), unless a replay was requested meanwhile. Returns False if the lease had not ended.
    """
    with transaction.atomic():
        # A frozen process may hold its row lock for a minute; the other deliveries of a sweep must not wait for it.
        if skips_locked and _is_locked(delivery):
            return False
        # Compare-and-set, because the process may have renewed its lease since. Deliveries are written before events,
        # so that no covered sibling is claimed in between.
        released = Delivery.objects.filter(
            pk=delivery.pk, state=State.RUNNING, token=delivery.token, lease_until__lte=database_now()
        ).update(state=State.RETRYING, deaths=F("deaths") + 1, **_interrupted_values())
        if released:
            now = timezone.now()
            entries = _end_attempts(delivery, now)
            refresh_event_states([delivery.event_id])
            append_entries(*entries, at=now)
    return bool(released)


def _interrupted_values() -> dict[str, Any]:
    """Return the columns of a delivery whose claim ended without a result: it is due at once."""
    released = {"token": None, "lease_until": None, "identity_slot": None, "target_slot": None}
    return {**released, "due_at": database_now(), "code": "interrupted"}


def requeue_delivery(delivery: Delivery, token: UUID) -> bool:
    """Make a claimed delivery pending again if its attempt was never run. The attempt ends as `interrupted`, and does
    not count.

    Returns False if another process has claimed the delivery since.
    """
    with transaction.atomic():
        requeued = Delivery.objects.filter(pk=delivery.pk, state=State.RUNNING, token=token).update(
            state=State.PENDING, **_interrupted_values()
        )
        if requeued:
            now = timezone.now()
            entries = _end_attempts(delivery, now)
            refresh_event_states([delivery.event_id])
            reopened = NewEntry(delivery.stream, "delivery.reopened", details={"cause": "interrupted"})
            append_entries(*entries, reopened, at=now)
    return bool(requeued)


def _is_locked(delivery: Delivery) -> bool:
    """True if another transaction has locked the delivery; otherwise this one locks it."""
    return not Delivery.objects.filter(pk=delivery.pk).select_for_update(skip_locked=True).values_list("pk")


def _end_attempts(delivery: Delivery, now: datetime) -> list[NewEntry]:
    """End the started attempts of a delivery: as `unknown` with a re-check if a write of theirs is on record, otherwise
    as `interrupted`. Returns their audit entries.
    """
    started = Attempt.objects.filter(delivery=delivery, outcome=AttemptOutcome.STARTED)
    if delivery.gets_rechecks:
        _add_rechecks(started)
    ended = list(started.values_list("key", "in_own_process"))
    # Only writes are on record: reads are written at the end of an attempt.
    calls = {
        key: call_facts(Call.objects.filter(attempt__key=key).select_related("request").order_by("pk"))
        for key, _ in ended
    }
    state = State.RETRYING
    # It was alone in the process: nothing else in there can have killed it. Somebody may have, once.
    is_alone = any(in_own_process for _, in_own_process in ended)
    code = CRASH_CODE if is_alone and delivery.deaths + 1 >= FINAL_DEATHS else "interrupted"
    wrote = set(_with_write(started).values_list("key", flat=True))
    outcomes = {
        key: AttemptOutcome.UNKNOWN if key in wrote or code == CRASH_CODE else AttemptOutcome.INTERRUPTED
        for key, _ in ended
    }
    for key, outcome in outcomes.items():
        started.filter(key=key).update(
            outcome=outcome, ended_at=now, code=code, is_retryable=code != CRASH_CODE
        )
    if AttemptOutcome.UNKNOWN not in outcomes.values():
        # Nothing was tried that a limit of attempts is for.
        Delivery.objects.filter(pk=delivery.pk, attempts_used__gt=0).update(
            attempts_used=F("attempts_used") - 1
        )
    if code == CRASH_CODE:
        # A replay that was requested meanwhile still gets its attempt.
        observes = Route.objects.filter(pk=delivery.route_id, mode=Route.Mode.OBSERVE).exists()
        end = (State.IGNORED, OBSERVED_FAILED_CODE) if observes else (State.DEAD, CRASH_CODE)
        ended_for_good = Delivery.objects.filter(pk=delivery.pk, person_request=None).update(
            state=end[0], code=end[1], due_at=None, settled_at=now, state_before_recheck=""
        )
        state = end[0] if ended_for_good else state
    details = {
        key: {"attempt": str(key), "code": code, "state": str(state), **calls[key]} for key in outcomes
    }
    return [
        NewEntry(delivery.stream, f"attempt.{outcome}", details=details[key])
        for key, outcome in outcomes.items()
    ]


def _add_rechecks(attempts: QuerySet[Attempt]) -> None:
    """Insert the re-checks of attempts whose process may have sent a write."""
    batch = WriteBatch()
    batch.insert(*(new_recheck(attempt) for attempt in _with_write(attempts)))
    batch.run()


def _with_write(attempts: QuerySet[Attempt]) -> QuerySet[Attempt]:
    """Return the attempts that may have sent a write: its row is committed before its first byte leaves."""
    return attempts.filter(Exists(Call.objects.filter(attempt=OuterRef("pk"), is_write=True)))
