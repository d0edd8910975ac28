"""Claim a delivery in one short transaction, so that no other process runs one of its subject.

The constraint `one_running_delivery_a_subject` decides: however often and from however many processes a delivery is
woken, at most one attempt of its subject runs, and every later write checks its token.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.entries.append import NEW_STREAMS, NewEntry, prepare_append
from audit.entries.stream_heads import StreamHead
from database.model_rows import new_row, rows_from_columns, select_list
from database.statement import BoundStatement, Statement
from database.values import DatabaseTime
from database.write_batch import WriteBatch
from sync.deliveries.ordering import OpenSibling, SubjectState, lock_open_siblings
from sync.deliveries.predicates import (
    STILL_CLAIMED,
    has_no_open_breaker,
    is_due,
    is_suspect,
    may_run_beside_others,
)
from sync.deliveries.record_links import RecordLink, read_link
from sync.deliveries.routes import ResolvedRoute, get_resolved_route, with_mapping_version
from sync.limits.circuit_breaker import invalidate_breakers
from sync.limits.concurrency_slots import ConnectionPaused, NoFreeSlot, choose_free_slot
from sync.models import Attempt, AttemptCause, Delivery, Route
from webhooks.models import Event, EventOrigin, Payload, State, SubjectKey

# Each collision means that another process was faster. After three, the delivery stays due, and polling finds it again.
_MAX_COLLISIONS = 3
# Less than the shortest retention of the audit log.
_MIN_AUDIT_RETENTION = timedelta(hours=12)

# Clearing `person_request_id` lets the settling commit notice a replay that is requested while the attempt runs. The
# state is hidden because the row is found by its key: see `_state_sql`.
_CLAIM = Statement(
    f"""UPDATE sync_delivery SET state = 'running', token = %s, lease_until = {{clock}},
    attempts_used = attempts_used + 1, last_number = last_number + 1, person_request_id = NULL, failure_key = '',
    identity_slot = %s, target_slot = %s
    WHERE id = %s AND {is_due(hides_state=True)} AND CASE WHEN %s THEN {is_suspect()} ELSE {may_run_beside_others()} END
    AND {has_no_open_breaker("sync_delivery")} RETURNING attempts_used, last_number, payload_choice, mapping_version_id,
    state_before_recheck, (SELECT mode FROM sync_route WHERE sync_route.id = sync_delivery.route_id)"""  # noqa: S608
)
# LEFT JOIN: a person may replay an event whose payload retention has deleted; a fetch can still deliver it.
_LOAD = Statement(
    f"""SELECT EXISTS (SELECT 1 FROM sync_delivery o WHERE o.event_id = d.event_id AND o.id <> d.id),
    {select_list(Delivery, "d")}, {select_list(Event, "e")}, {select_list(Payload, "p")},
    {select_list(SubjectKey, "k")} FROM sync_delivery d JOIN webhooks_event e ON e.id = d.event_id
    LEFT JOIN webhooks_payload p ON p.id = e.payload_id
    LEFT JOIN webhooks_subjectkey k ON k.id = p.subject_id WHERE d.id = %s"""  # noqa: S608
)
_LEASE_SQL = f"SELECT id FROM sync_delivery WHERE {STILL_CLAIMED} AND lease_until > {{clock}}"  # noqa: S608
# SQLite knows no FOR UPDATE and needs none: it has one writer at a time.
_CHECK_LEASE = {"sqlite": Statement(_LEASE_SQL), "postgresql": Statement(f"{_LEASE_SQL} FOR UPDATE")}
_RENEW_LEASE = Statement(f"UPDATE sync_delivery SET lease_until = {{clock}} WHERE {STILL_CLAIMED}")  # noqa: S608


@dataclass(frozen=True, slots=True)
class LoadedDelivery:
    """A delivery with its event and the webhook's body. `is_only` is true if its event has no other delivery and never
    gets one.
    """

    delivery: Delivery
    is_only: bool


@dataclass(slots=True)
class ClaimLease:
    """The end of a claim's lease, by this process's monotonic clock."""

    ends_at: float = field(default_factory=lambda: monotonic() + settings.LEASE_SECONDS)


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this process may run until the lease ends.

    The attempt also settles the sibling deliveries of the events in `covered`. `link` is the subject's link at the time
    of the claim; for relayed deliveries it is read when the attempt begins. If `decides_event`, the outcome of the
    attempt is the outcome of the event, because the event has no other delivery and this is not a re-check. If
    `observes`, the route did when this was claimed, by its row: nothing may be written.
    `stream_heads` are the heads of the audit log streams at the commit of the claim.
    """

    delivery: Delivery
    attempt: Attempt
    token: uuid.UUID
    route: ResolvedRoute
    link: RecordLink | None = None
    covered: tuple[Event, ...] = ()
    decides_event: bool = False
    observes: bool = False
    stream_heads: Mapping[str, StreamHead] = field(default_factory=dict)
    lease: ClaimLease = field(default_factory=ClaimLease)

    @property
    def events(self) -> tuple[Event, ...]:
        """Return all events of this attempt, its own first."""
        return (self.delivery.event, *self.covered)

    @property
    def lease_lasts(self) -> bool:
        """True if the lease has not ended, by this process's clock."""
        return monotonic() < self.lease.ends_at

    def lease_check(self, seconds: float) -> BoundStatement:
        """Return a statement that gives a row if the lease lasts `seconds` more, and locks it until the commit."""
        return _CHECK_LEASE[connection.vendor].bind(self.delivery.pk, self.token, seconds)

    def renew_lease(self) -> bool:
        """Renew the lease. Returns False if the delivery is not ours any more."""
        # Set before the statement, so that this process never assumes a longer lease than the database holds.
        self.lease.ends_at = monotonic() + settings.LEASE_SECONDS
        return bool(_RENEW_LEASE.execute(settings.LEASE_SECONDS, self.delivery.pk, self.token))

    def ensure_lease(self, seconds: float) -> bool:
        """Renew the lease if it ends within `seconds`. Returns False if the delivery is not ours any more."""
        return self.lease.ends_at - monotonic() >= seconds or self.renew_lease()


def claim_delivery(delivery_id: int, *, in_own_process: bool = False) -> Claim | None:
    """Claim a delivery that waits and is due, begin its attempt, and cover its open siblings; one commit.

    1. Read the delivery with its event and the key of its subject.
    2. In a transaction, lock the open deliveries of the subject, decide and claim; again if another one was faster.

    Returns None if it cannot be claimed: it is settled, not due or claimed, another delivery of its subject runs, an
    older relayed one waits, or a connection has no free slot. `in_own_process`: this process runs nothing else; only
    such a process claims a delivery that killed processes. Raises ConnectionPaused if a connection's breaker is open.
    """
    loaded = _load_delivery(delivery_id)
    if loaded is None:
        return None
    for collisions in range(_MAX_COLLISIONS):
        try:
            with transaction.atomic():
                # After a collision the stream may have begun: its head must be read.
                return _claim_locked(loaded, in_own_process, reads_head=collisions > 0)
        except IntegrityError:
            # Another process took the subject or a slot at this moment, or the audit log stream has begun.
            continue
        except NoFreeSlot:
            return None
    return None


def _load_delivery(delivery_id: int) -> LoadedDelivery | None:
    """Read a delivery with its event, payload and subject key; None if it does not exist."""
    row = _LOAD.fetch_one(delivery_id)
    if row is None:
        return None
    has_others, *values = row
    delivery, event, payload, key = rows_from_columns((Delivery, Event, Payload, SubjectKey), values)
    if payload is not None:
        # The relations are set from the joined row, so that no later step reads them again.
        event.payload = payload
        if key is not None:
            payload.subject = event.key = key
    delivery.event = event
    attach_route(delivery, get_resolved_route(delivery.route_id))
    return LoadedDelivery(delivery, is_only=not has_others)


def attach_route(delivery: Delivery, resolved: ResolvedRoute) -> None:
    """Set a delivery's route, source and connections from this process's cache."""
    route = resolved.route
    delivery.route = route
    delivery.event.source = route.source
    # A delivery stays with the connections it was opened with. If the route has others by now, Django reads the old
    # ones.
    if delivery.identity_id == route.identity_id:
        delivery.identity = route.identity
    if delivery.target_id == route.target_id:
        delivery.target = route.target


def _claim_locked(loaded: LoadedDelivery, in_own_process: bool, *, reads_head: bool) -> Claim | None:
    """Decide and claim inside the transaction that holds the locks.

    `reads_head`: look up the head of its audit log stream, even if the stream seems to have no entry yet.
    """
    delivery = loaded.delivery
    # With the siblings locked, no other process can claim, cover or settle one of them before the commit.
    siblings = lock_open_siblings(delivery)
    own = next((sibling for sibling in siblings if sibling.pk == delivery.pk), None)
    others = [sibling for sibling in siblings if sibling.pk != delivery.pk]
    # Without a row of its own, the delivery was settled or put on hold since it was read.
    if own is None or any(_must_end_first(other, own) for other in others):
        return None
    token = uuid.uuid4()
    mode = _claim_row(delivery, token, in_own_process)
    if mode is None:
        return None
    newest = get_resolved_route(delivery.route_id)
    resolved = with_mapping_version(newest, delivery.mapping_version_id)
    # The claim has cleared `person_request_id` in the row; the locked copy still has it.
    attempt = _new_attempt(delivery, resolved, own.person_request_id)
    attempt.in_own_process = in_own_process
    starts_stream = _seems_first_attempt(delivery, attempt) and not reads_head
    entry = prepare_append(attempt_started_entry(attempt), heads=NEW_STREAMS if starts_stream else None)
    batch = WriteBatch()
    batch.insert(attempt)
    batch.execute(*entry.writes)
    batch.run()
    # A relayed delivery reads its link when its attempt begins (`_with_current_link`).
    link = None if delivery.is_relayed else read_link(delivery)
    decides_event = loaded.is_only and not delivery.is_rechecked
    claimed = Claim(
        delivery,
        attempt,
        token,
        resolved,
        link,
        decides_event=decides_event,
        # By its row: the route of the cache may be a second old.
        observes=mode == Route.Mode.OBSERVE,
        stream_heads=entry.heads,
    )
    # Relayed data settle only their own event, and an older mapping version must not settle what siblings report.
    covers = delivery.is_fetched and resolved is newest
    return replace(claimed, covered=_cover_siblings(others, claimed)) if covers else claimed


def _claim_row(delivery: Delivery, token: uuid.UUID, in_own_process: bool) -> str | None:
    """Claim the row of a delivery, and read again what may have changed since it was read. Returns the mode of its
    route, None if it cannot be claimed.
    """
    slots = _choose_slots(delivery)
    columns = _CLAIM.fetch_one(token, settings.LEASE_SECONDS, *slots, delivery.pk, in_own_process)
    if columns is None:
        # A breaker may have opened since it was cached. Choosing again then raises ConnectionPaused.
        invalidate_breakers()
        _choose_slots(delivery)
        return None
    delivery.identity_slot, delivery.target_slot = slots
    # A replay may have changed these options, or a re-check may have begun.
    delivery.attempts_used, delivery.last_number, delivery.payload_choice = columns[:3]
    delivery.mapping_version_id, delivery.state_before_recheck, mode = columns[3:]
    return str(mode)


def _seems_first_attempt(delivery: Delivery, attempt: Attempt) -> bool:
    """True if the delivery seems to have no audit entry yet. A constraint refuses the insert if it does have one."""
    # The constraint misses only a first entry that retention has deleted, and such an entry is older than this.
    is_new = attempt.started_at - delivery.event.received_at < _MIN_AUDIT_RETENTION
    return is_new and delivery.last_number == 1 and delivery.state == State.PENDING


def _choose_slots(delivery: Delivery) -> tuple[int | None, int | None]:
    """Choose a slot of each connection that the delivery calls: only a fetched one calls the identity service."""
    identity = choose_free_slot(delivery.identity) if delivery.is_fetched else None
    return identity, choose_free_slot(delivery.target)


def _must_end_first(other: OpenSibling, own: OpenSibling) -> bool:
    """True if the other delivery must end first: it runs, or both are relayed and it is older."""
    # A relayed delivery carries its data, so the order decides which data are final. A fetch reads the newest anyway.
    return other.state == State.RUNNING or (other.runs_in_order and own.runs_in_order and other.pk < own.pk)


def claim_unstored(
    delivery: Delivery, route: ResolvedRoute, subject: SubjectState, *, is_only: bool
) -> Claim:
    """Claim a delivery that is not stored yet, and begin its attempt; the caller stores both. Raises NoFreeSlot or
    ConnectionPaused.
    """
    delivery.identity_slot, delivery.target_slot = _choose_slots(delivery)
    delivery.state = State.RUNNING
    delivery.token = token = uuid.uuid4()
    # The database's clock: hosts need no common time.
    delivery.lease_until = DatabaseTime(settings.LEASE_SECONDS)  # type: ignore[assignment]
    delivery.attempts_used = delivery.last_number = 1
    attempt = _new_attempt(delivery, route)
    return Claim(
        delivery, attempt, token, route, subject.link, decides_event=is_only, observes=subject.observes
    )


def _new_attempt(delivery: Delivery, route: ResolvedRoute, person_request_id: int | None = None) -> Attempt:
    """Return a new attempt in state `started`, to be inserted. A replay or re-check that waited becomes its cause."""
    return new_row(
        Attempt,
        delivery=delivery,
        number=delivery.last_number,
        cause=_attempt_cause(delivery, person_request_id),
        person_request_id=person_request_id,
        started_at=timezone.now(),
        mapping_version=route.mapping_version,
        payload_choice=delivery.payload_choice,
    )


def _attempt_cause(delivery: Delivery, person_request_id: int | None) -> AttemptCause:
    event = delivery.event
    is_first = delivery.last_number == 1
    # The request that made the event is no replay of it.
    if is_first and event.origin != EventOrigin.WEBHOOK and person_request_id == event.requested_by:
        return AttemptCause(event.origin)
    if person_request_id:
        return AttemptCause.REPLAY
    if delivery.state_before_recheck:
        return AttemptCause.RECHECK
    return AttemptCause.WEBHOOK if is_first else AttemptCause.RETRY


def attempt_started_entry(attempt: Attempt) -> NewEntry:
    """Return the audit entry of an attempt's start."""
    details = {
        "attempt": str(attempt.key),
        "number": attempt.number,
        "cause": str(attempt.cause),
        # The last three only where they are not the default.
        "mapping": attempt.mapping_version_id,
        **({"person_request": attempt.person_request_id} if attempt.person_request_id else {}),
        **({"payload_choice": str(attempt.payload_choice)} if attempt.payload_choice else {}),
        **({"in_own_process": True} if attempt.in_own_process else {}),
    }
    return NewEntry(attempt.delivery.stream, "attempt.started", details=details, at=attempt.started_at)


def _cover_siblings(others: list[OpenSibling], claim: Claim) -> tuple[Event, ...]:
    """Mark the siblings that this attempt settles too: its fetch begins after this commit, and sees all their changes.

    Returns the events of the siblings.
    """
    route_id = claim.delivery.route_id
    # Other routes may map differently, relayed siblings have their own data, and a replay gets an attempt of its own.
    covered = [
        sibling.pk
        for sibling in others
        if sibling.route_id == route_id
        and not (sibling.is_relayed or sibling.person_request_id or sibling.is_chosen)
    ]
    if not covered:
        return ()
    Delivery.objects.filter(pk__in=covered).update(covered_by=claim.attempt)
    return tuple(Event.objects.filter(deliveries__in=covered).select_related("payload__subject", "source"))


__all__ = [
    "Claim",
    "ConnectionPaused",
    "NoFreeSlot",
    "attach_route",
    "attempt_started_entry",
    "claim_delivery",
    "claim_unstored",
]
