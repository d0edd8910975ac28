"""Find the deliveries that wait for one of their two connections."""

from collections.abc import Iterator, Set
from itertools import product

from django.db.models import Q, QuerySet

from config_schema.codes.codes import is_about_identity
from sync.models import WAITING_STATES, Breaker, Connection, ConnectionSide, Delivery, PayloadChoice
from webhooks.models import State

_IDENTITY, _TARGET = ConnectionSide.IDENTITY, ConnectionSide.TARGET
_CALLS_IDENTITY = Q(is_relayed=False, payload_choice=PayloadChoice.AS_ROUTED)
_FAILED_AT = {
    _IDENTITY: Q(state=State.RETRYING, code__startswith="identity-"),
    _TARGET: Q(state=State.RETRYING, code__startswith="target-"),
}


def blocking_sides(
    *, open_sides: Set[ConnectionSide], calls_identity: bool, failed_at: ConnectionSide | None
) -> Set[ConnectionSide]:
    """Return the sides that block a waiting delivery.

    These are the ones whose circuit breaker is not closed; otherwise the one at which the last attempt failed;
    otherwise all that the next attempt calls. `open_sides`: the sides of this delivery whose breaker is not closed.
    """
    called = {_IDENTITY, _TARGET} if calls_identity else {_TARGET}
    return (called & open_sides) or ({failed_at} if failed_at else called)


def side_of_failure(state: str, code: str) -> ConnectionSide | None:
    """Return the side at which the last attempt of a waiting delivery failed; None if it did not fail there."""
    if state != State.RETRYING:
        return None
    if is_about_identity(code):
        return _IDENTITY
    return _TARGET if code.startswith("target-") else None


def paused_connections() -> frozenset[int]:
    """Return the keys of the connections whose circuit breaker is open or half-open."""
    return frozenset(Breaker.objects.exclude(open_until=None).values_list("connection", flat=True))


def deliveries_waiting_for(connection: Connection) -> QuerySet[Delivery]:
    """Return the deliveries that wait for this connection, in no order. Reads the breakers at once."""
    side = ConnectionSide(connection.side)
    waiting = Delivery.objects.filter(state__in=WAITING_STATES, **{side: connection.pk}).order_by()
    condition = Q(pk__in=[])
    for part in _matching_cases(side):
        condition |= part
    return waiting.filter(condition)


def _matching_cases(side: ConnectionSide) -> Iterator[Q]:
    """Yield the condition of each case in which a delivery waits for `side`."""
    paused = paused_connections()
    opened = {end: Q(**{f"{end}__in": paused}) for end in (_IDENTITY, _TARGET)}
    failed = _FAILED_AT | {None: ~(_FAILED_AT[_IDENTITY] | _FAILED_AT[_TARGET])}
    bools = (True, False)
    for is_identity_open, is_target_open, calls, failed_at in product(bools, bools, bools, failed):
        open_sides = {_IDENTITY} if is_identity_open else set()
        open_sides |= {_TARGET} if is_target_open else set()
        if side in blocking_sides(open_sides=open_sides, calls_identity=calls, failed_at=failed_at):
            yield (
                (opened[_IDENTITY] if is_identity_open else ~opened[_IDENTITY])
                & (opened[_TARGET] if is_target_open else ~opened[_TARGET])
                & (_CALLS_IDENTITY if calls else ~_CALLS_IDENTITY)
                & failed[failed_at]
            )
