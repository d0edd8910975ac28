"""The reasons for which a delivery waits (its blockers), the time of its next attempt, and the number of attempts left.

Everything is read from the database, by its clock; caches of the process are not used. The results are values; the
console turns them into sentences.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from django.db.models import Count

from config_schema.codes.codes import CATALOGUE, Owner
from database.clock import read_clock
from sync.deliveries.predicates import ISOLATION_DEATHS
from sync.limits.breaker_status import BreakerMode, BreakerStatus, breaker_status
from sync.models import OPEN_STATES, WAITING_STATES, Connection, Delivery, Route
from webhooks.models import Source, State

# Bounds a page about an entity with a large backlog.
MAX_SIBLINGS = 200
# Longer than the polls and sweeps of a healthy worker, so that a normal wait is not reported.
OVERDUE_AFTER = timedelta(seconds=30)


class OrderReason(Enum):
    """A reason for another delivery of the same subject to run first."""

    RUNS = "runs"
    CLAIM_EXPIRED = "claim expired"
    # Both are relayed, and relayed events run in order.
    IS_OLDER = "is older"


@dataclass(frozen=True, slots=True)
class PausedByPerson:
    """The source, the route or a connection is paused until it is resumed."""

    setting: Source | Route | Connection


@dataclass(frozen=True, slots=True)
class NeedsIsolation:
    """`number` processes in a row died while they ran the delivery: it runs next in a separate process."""

    number: int


@dataclass(frozen=True, slots=True)
class BlockedByDelivery:
    """Another delivery of the same subject has to end first."""

    other: Delivery
    reason: OrderReason


@dataclass(frozen=True, slots=True)
class BreakerOpen:
    """The circuit breaker of a connection is open."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class AllSlotsTaken:
    """A connection has reached its concurrency limit: `used` of `limit` deliveries run.

    If `breaker` is half-open, they are probes.
    """

    connection: Connection
    used: int
    limit: int
    breaker: BreakerStatus


@dataclass(frozen=True, slots=True)
class DisabledConnection:
    """A connection is disabled: attempts of the delivery fail until it is enabled."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class OverdueDelivery:
    """Nothing blocks the delivery, yet it has been due since `since`."""

    since: datetime


Blocker = (
    PausedByPerson
    | NeedsIsolation
    | BlockedByDelivery
    | BreakerOpen
    | AllSlotsTaken
    | DisabledConnection
    | OverdueDelivery
)


@dataclass(frozen=True, slots=True)
class DeliveryContention:
    """Slots in use, by connection, and other open deliveries of the same entity."""

    clock: datetime
    used_slots: Mapping[int, int]
    siblings: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class AttemptsLeft:
    """Attempts that an open delivery has left, and the latest start of the last one; None if there is no limit."""

    number: int
    until: datetime | None


def load_contention(deliveries: Sequence[Delivery]) -> DeliveryContention:
    """Read the contention for deliveries of one event, whose connections and breakers are selected already.

    Runs three statements and reads the clock if one of them waits.
    """
    waiting = _waiting_deliveries(deliveries)
    return load_contention_with(deliveries, _find_siblings(waiting[0]) if waiting else ())


def load_contention_with(deliveries: Sequence[Delivery], siblings: Sequence[Delivery]) -> DeliveryContention:
    """Read the contention for deliveries whose entity has the open deliveries `siblings`."""
    clock = read_clock()
    waiting = _waiting_deliveries(deliveries)
    if not waiting:
        return DeliveryContention(clock, {}, ())
    used = {
        **_count_used_slots("identity", {delivery.identity_id for delivery in waiting}),
        **_count_used_slots("target", {delivery.target_id for delivery in waiting}),
    }
    return DeliveryContention(clock, used, siblings)


def _waiting_deliveries(deliveries: Iterable[Delivery]) -> list[Delivery]:
    return [delivery for delivery in deliveries if delivery.state in WAITING_STATES]


def _count_used_slots(side: str, connections: set[int]) -> dict[int, int]:
    running = Delivery.objects.running().filter(**{f"{side}__in": connections})
    # Count skips NULL: a delivery that took no slot does not count towards the limit.
    return dict(running.order_by().values_list(side).annotate(Count(f"{side}_slot")))


def _find_siblings(delivery: Delivery) -> list[Delivery]:
    """Return open deliveries of other events about the same entity."""
    same = Delivery.objects.open().filter(entity_id=delivery.entity_id, entity_type=delivery.entity_type)
    others = same.exclude(event=delivery.event_id).exclude(state=State.HELD)
    return list(others.select_related("event").order_by("pk")[:MAX_SIBLINGS])


def find_blockers(delivery: Delivery, contention: DeliveryContention) -> tuple[Blocker, ...]:
    """Return the reasons that keep a delivery from running, in the order in which a claim checks them.

    Empty for a delivery that does not wait.
    """
    if delivery.state not in WAITING_STATES:
        return ()
    blockers: list[Blocker] = [*_own_blockers(delivery), *_order_blockers(delivery, contention)]
    for connection in _called_connections(delivery):
        blockers += _connection_blockers(connection, contention)
    if not blockers and delivery.due_at is not None and delivery.due_at < contention.clock - OVERDUE_AFTER:
        return (OverdueDelivery(delivery.due_at),)
    return tuple(blockers)


def _own_blockers(delivery: Delivery) -> Iterator[Blocker]:
    if delivery.due_at is None:
        for setting in _paused_settings(delivery):
            yield PausedByPerson(setting)
    if delivery.deaths >= ISOLATION_DEATHS:
        yield NeedsIsolation(delivery.deaths)


def _paused_settings(delivery: Delivery) -> list[Source | Route | Connection]:
    settings = (delivery.event.source, delivery.route, delivery.identity, delivery.target)
    return [setting for setting in settings if setting.paused_at is not None]


def _order_blockers(delivery: Delivery, contention: DeliveryContention) -> Iterator[Blocker]:
    """Yield the delivery of the subject that must end first: one that runs, or an older one if both are relayed."""
    for other in contention.siblings:
        if (other.identity_id, other.target_id) != (delivery.identity_id, delivery.target_id):
            continue
        if other.state == State.RUNNING:
            is_expired = is_claim_expired(other, contention.clock)
            yield BlockedByDelivery(other, OrderReason.CLAIM_EXPIRED if is_expired else OrderReason.RUNS)
            return
        if delivery.is_relayed and other.is_relayed and other.pk < delivery.pk:
            yield BlockedByDelivery(other, OrderReason.IS_OLDER)
            return


def _called_connections(delivery: Delivery) -> tuple[Connection, ...]:
    """Return the connections that an attempt calls. A relayed delivery does not call the identity service."""
    return (delivery.identity, delivery.target) if delivery.is_fetched else (delivery.target,)


def _connection_blockers(connection: Connection, contention: DeliveryContention) -> Iterator[Blocker]:
    breaker, used = breaker_status(connection, contention.clock), contention.used_slots.get(connection.pk, 0)
    limit = breaker.delivery_limit(connection.concurrency)
    if breaker.mode is BreakerMode.NOTHING:
        yield BreakerOpen(connection)
    elif limit is not None and used >= limit:
        yield AllSlotsTaken(connection, used, limit, breaker)
    if not connection.is_enabled:
        yield DisabledConnection(connection)


def is_claim_expired(delivery: Delivery, clock: datetime) -> bool:
    """True if the lease of a running delivery has ended: its process may have died."""
    lease = delivery.lease_until
    return delivery.state == State.RUNNING and lease is not None and lease <= clock


def is_paused_by_person(delivery: Delivery) -> bool:
    """True if the delivery waits until its source, its route or a connection of it is resumed."""
    has_no_due_time = delivery.state in WAITING_STATES and delivery.due_at is None
    return has_no_due_time and bool(_paused_settings(delivery))


def next_attempt_at(delivery: Delivery, clock: datetime) -> datetime | None:
    """Return the time from which the delivery is due and no breaker blocks it; None if no attempt is scheduled."""
    if delivery.state not in WAITING_STATES or delivery.due_at is None:
        return None
    breakers = [breaker_status(connection, clock) for connection in _called_connections(delivery)]
    pauses = [breaker.until for breaker in breakers if breaker.mode is BreakerMode.NOTHING]
    # `due_at` twice, because max() of a single argument would iterate over it.
    return max(delivery.due_at, *(until for until in pauses if until is not None), delivery.due_at)


def count_attempts_left(delivery: Delivery) -> AttemptsLeft | None:
    """Return the attempts that an open delivery has left; None if it is settled or held."""
    if delivery.state not in OPEN_STATES or delivery.state == State.HELD:
        return None
    left = max(0, delivery.route.max_attempts - delivery.attempts_used)
    if not left:
        return AttemptsLeft(left, None)
    return AttemptsLeft(left, delivery.opened_at + timedelta(hours=delivery.route.gives_up_after_hours))


def responsible_owner(delivery: Delivery) -> Owner | None:
    """Return the party that the last failure's code names; None if nothing failed, or a new run has begun."""
    code = CATALOGUE.get(delivery.code)
    if code is None or delivery.state not in (State.RETRYING, State.DEAD):
        return None
    return code.owner
