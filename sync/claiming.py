"""Hop 4: take a delivery, so that nobody else has one of its subject, in one short transaction.

Order lives here and in the constraint `one_running_delivery_a_subject`: whatever wakes a delivery, however often and
from however many processes, at most one attempt of a subject runs, and every later write names its token.
"""

import uuid
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from audit.log import Happening, append
from sync.clock import database_now, database_now_plus
from sync.models import Attempt, Cause, Delivery, Outcome
from webhooks.models import Event, State

WAITING = (State.PENDING, State.RETRYING)


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours until its lease ends. `covered`: the events of siblings that this attempt settles."""

    delivery: Delivery
    attempt: Attempt
    token: uuid.UUID
    covered: tuple[Event, ...] = ()

    @property
    def held(self) -> QuerySet[Delivery]:
        """The delivery, as long as it is ours: every write goes through this filter."""
        return Delivery.objects.filter(pk=self.delivery.pk, token=self.token, state=State.RUNNING)


def claim(delivery_id: int) -> Claim | None:
    """Claim a delivery that waits and is due, begin its attempt, and cover its open siblings; one commit.

    None where it is not ours to take: settled, not due, claimed, another one of its subject runs, or an older
    relayed one waits.
    """
    delivery = _with_settings(delivery_id)
    if delivery is None:
        return None
    try:
        with transaction.atomic():
            return _claim(delivery)
    except IntegrityError:
        return None


def _claim(delivery: Delivery) -> Claim | None:
    others = lock_subject(delivery)
    if any(_goes_first(each, delivery) for each in others):
        return None
    token = uuid.uuid4()
    claimed = Delivery.objects.filter(pk=delivery.pk, state__in=WAITING, due_at__lte=database_now()).update(
        state=State.RUNNING,
        token=token,
        lease_until=database_now_plus(settings.LEASE_SECONDS),
        tries=F("tries") + 1,
        last_number=F("last_number") + 1,
        replay=None,
    )
    if not claimed:
        return None
    delivery.refresh_from_db(fields=["tries", "last_number"])
    attempt = _begin_attempt(delivery)
    covered = () if delivery.is_relayed else _cover(others, delivery, attempt)
    return Claim(delivery, attempt, token, covered)


def lock_subject(delivery: Delivery) -> list[Delivery]:
    """The open deliveries of its subject but itself, all of them locked in one order until the transaction ends.

    Whoever is about to change more than one delivery of a subject asks for this first; otherwise two of them could
    wait for each other for ever. (SQLite has one writer anyway.)
    """
    rows = (
        subject_of(delivery)
        .filter(state__in=[*WAITING, State.RUNNING])
        .select_for_update()
        .only("id", "state", "route_id", "is_relayed", "replay_id")
        .order_by("pk")
    )
    found = list(rows)
    delivery.replay_id = next((each.replay_id for each in found if each.pk == delivery.pk), None)
    return [each for each in found if each.pk != delivery.pk]


def _goes_first(other: Delivery, delivery: Delivery) -> bool:
    """Relayed deliveries run in order. Whether another one runs now is for the database's constraint to decide."""
    return other.is_relayed and delivery.is_relayed and other.pk < delivery.pk


def subject_of(delivery: Delivery) -> QuerySet[Delivery]:
    """All deliveries of its subject to its commercial connection."""
    return Delivery.objects.filter(
        entity_id=delivery.entity_id,
        entity_type=delivery.entity_type,
        identity_id=delivery.identity_id,
        commercial_id=delivery.commercial_id,
    )


def siblings(delivery: Delivery) -> QuerySet[Delivery]:
    """The others of its subject."""
    return subject_of(delivery).exclude(pk=delivery.pk)


def _with_settings(delivery_id: int) -> Delivery | None:
    related = ("event__source", "event__payload", "route__mapping", "identity", "commercial")
    return Delivery.objects.select_related(*related).filter(pk=delivery_id).first()


def _begin_attempt(delivery: Delivery) -> Attempt:
    """The attempt's first writing: `started`. A replay that waited is taken up by this attempt."""
    cause = Cause.REPLAY if delivery.replay_id else Cause.RETRY if delivery.last_number > 1 else Cause.WEBHOOK
    attempt = Attempt.objects.create(
        delivery=delivery,
        number=delivery.last_number,
        cause=cause,
        replay_id=delivery.replay_id,
        started_at=timezone.now(),
        mapping_version=delivery.route.mapping.current(),
    )
    append(
        Happening(
            delivery.stream,
            "attempt.started",
            details={"attempt": str(attempt.key), "number": attempt.number, "cause": cause},
        ),
        at=attempt.started_at,
    )
    return attempt


def _cover(others: list[Delivery], delivery: Delivery, attempt: Attempt) -> tuple[Event, ...]:
    """The fetch that begins after this commit sees what every sibling that is open now wanted to tell.

    Only siblings of the same route (another route may map and decide otherwise), and none that a person asked for.
    """
    seen = [
        each.pk
        for each in others
        if each.route_id == delivery.route_id and not each.is_relayed and not each.replay_id
    ]
    if not seen:
        return ()
    Delivery.objects.filter(pk__in=seen).update(covered_by=attempt)
    return tuple(Event.objects.filter(deliveries__in=seen).select_related("payload"))


def expire(delivery: Delivery) -> bool:
    """Take the delivery from a process whose lease ended: its attempt ends as `unknown`, it goes back to retrying.

    Returns whether it happened.
    """
    with transaction.atomic():
        freed = Delivery.objects.filter(
            pk=delivery.pk, state=State.RUNNING, token=delivery.token, lease_until__lte=database_now()
        ).update(
            state=State.RETRYING, token=None, lease_until=None, due_at=database_now(), code="interrupted"
        )
        if not freed:
            return False
        now = timezone.now()
        lost = delivery.attempts.filter(outcome=Outcome.STARTED)
        keys = [str(key) for key in lost.values_list("key", flat=True)]
        lost.update(outcome=Outcome.UNKNOWN, ended_at=now, code="interrupted", is_retryable=True)
        append(
            *(Happening(delivery.stream, "attempt.unknown", details={"attempt": key}) for key in keys), at=now
        )
    return True


def expired() -> QuerySet[Delivery]:
    """Deliveries whose process held them longer than its lease."""
    return Delivery.objects.filter(state=State.RUNNING, lease_until__lte=database_now())


def due() -> QuerySet[Delivery]:
    """Deliveries that wait and whose time has come, oldest first."""
    return Delivery.objects.filter(state__in=WAITING, due_at__lte=database_now()).order_by("due_at", "id")


def expire_subject(delivery: Delivery) -> bool:
    """Free the subject of a delivery from a process that is gone; returns whether there was one."""
    freed = [expire(gone) for gone in expired().filter(pk__in=siblings(delivery).values("pk"))]
    return any(freed)
