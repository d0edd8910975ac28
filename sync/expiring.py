"""Deliveries whose process is gone: freed when their lease ends, and watched, where processes keep dying under them."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.entries.append import Happening, append
from database.clock import database_now
from database.statement import Statement
from sync.claiming import SUSPECT
from sync.models import Attempt, Delivery, Outcome
from sync.settling import refresh_events
from sync.subjects import STANDS_BEHIND, expired_of_subject
from webhooks.models import State

POISON = "crashes-hub"

# Of a delivery `d`: no breaker of what it asks is open.
PASSING = """NOT EXISTS (SELECT 1 FROM sync_breaker b WHERE b.open_until > {now}
    AND (b.connection_id = d.commercial_id OR (b.connection_id = d.identity_id AND NOT d.is_relayed)))"""
_CAN_RUN = f"""d.state IN ('pending', 'retrying') AND d.due_at <= {{now}} AND {PASSING}
    AND NOT {STANDS_BEHIND}"""
_READY = f"{_CAN_RUN} AND d.deaths < %s"
_SUBJECT = "identity_id, commercial_id, entity_type, entity_id"
_DUE = Statement(
    f"""SELECT d.id, d.{_SUBJECT.replace(", ", ", d.")} FROM sync_delivery d WHERE {_READY}
    ORDER BY d.due_at, d.id LIMIT %s"""  # noqa: S608
)
_DUE_IN_TURN = Statement(
    f"""SELECT id, {_SUBJECT} FROM (SELECT d.id, d.{_SUBJECT.replace(", ", ", d.")}, d.due_at,
        ROW_NUMBER() OVER (PARTITION BY d.commercial_id ORDER BY d.due_at, d.id) AS place
        FROM sync_delivery d WHERE {_READY}) found
    ORDER BY place, due_at, id LIMIT %s"""  # noqa: S608
)
_SUSPECTS = Statement(
    f"""SELECT d.id FROM sync_delivery d WHERE {_CAN_RUN} AND d.deaths >= %s
    ORDER BY d.due_at, d.id LIMIT %s"""  # noqa: S608
)
_EXPIRED = Statement(
    """SELECT id FROM sync_delivery WHERE state = 'running' AND lease_until <= {now}
    ORDER BY lease_until LIMIT %s"""
)


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that may run now, and the subject that it shares with others."""

    pk: int
    subject: tuple[int, int, str, str]


def due(limit: int) -> list[Due]:
    """Deliveries that wait, whose time has come, and whose connections are not paused; oldest first.

    Where there are more than that, the commercial systems take turns, so that the backlog of one hides no other.
    """
    rows = _DUE.rows(SUSPECT, limit)
    if len(rows) >= limit:
        rows = _DUE_IN_TURN.rows(SUSPECT, limit)
    return [Due(pk, tuple(subject)) for pk, *subject in rows]


def suspects(limit: int) -> list[int]:
    """Deliveries that may run now and under which processes died twice: each runs alone in a process of its own."""
    return [row[0] for row in _SUSPECTS.rows(SUSPECT, limit)]


def expire_all(limit: int) -> int:
    """Free deliveries whose process held them longer than its lease; how many."""
    return _expire_each([row[0] for row in _EXPIRED.rows(limit)])


def expire_subject(delivery: Delivery) -> bool:
    """Free the subject of a delivery from a process that is gone; returns whether there was one."""
    return bool(_expire_each(expired_of_subject(delivery)))


def _expire_each(keys: list[int]) -> int:
    return sum(expire(each) for each in Delivery.objects.filter(pk__in=keys).order_by("pk")) if keys else 0


def expire(delivery: Delivery) -> bool:
    """Take the delivery from a process whose lease ended. Its attempt ends as `unknown`, and it waits for the next.

    One that had its process for itself, and whose process died all the same, is to blame: it is dead, unless a replay
    was asked for meanwhile, which begins now. Returns whether the lease had ended.
    """
    with transaction.atomic():
        # No covered sibling may be claimed between this and its own settling: deliveries first, events after.
        freed = Delivery.objects.filter(
            pk=delivery.pk, state=State.RUNNING, token=delivery.token, lease_until__lte=database_now()
        ).update(
            state=State.RETRYING,
            token=None,
            lease_until=None,
            identity_slot=None,
            commercial_slot=None,
            due_at=database_now(),
            code="interrupted",
            deaths=F("deaths") + 1,
        )
        if freed:
            lost = _end_attempts(delivery)
            refresh_events([delivery.event_id])
            append(*lost)
    return bool(freed)


def _end_attempts(delivery: Delivery) -> list[Happening]:
    """What belongs on the audit log of it."""
    now, lost = timezone.now(), Attempt.objects.filter(delivery=delivery, outcome=Outcome.STARTED)
    ended = list(lost.values_list("key", "is_alone"))
    code = POISON if any(is_alone for _, is_alone in ended) else "interrupted"
    lost.update(outcome=Outcome.UNKNOWN, ended_at=now, code=code, is_retryable=code != POISON)
    if code == POISON:
        Delivery.objects.filter(pk=delivery.pk, replay=None).update(
            state=State.DEAD, code=POISON, due_at=None, settled_at=now
        )
    details = [{"attempt": str(key), "code": code} for key, _ in ended]
    return [Happening(delivery.stream, "attempt.unknown", details=each) for each in details]
