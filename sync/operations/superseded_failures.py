"""Settle failed and held deliveries as superseded after a later success, so that nobody has to handle them."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from sync.attempts.attempt_result import ACTION_CODES
from sync.attempts.scope import OUT_OF_SCOPE_CODE
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.predicates import SUBJECT_OF_OUTER_ROW
from sync.models import SUCCESSFUL_OUTCOMES, Attempt, AttemptOutcome, Delivery, PayloadChoice
from sync.planning.change import ChangeAction
from webhooks.models import State

MAX_DELIVERIES = 20_000
_CHUNK = 200
_WRITES = tuple(code for action, code in ACTION_CODES.items() if action is not ChangeAction.NOTHING)


# The key of the delivery after which the next run begins, by state.
_last_keys: dict[str, int] = {}


def supersede_failures() -> int:
    """Settle failed and held deliveries as superseded whose subject a later attempt delivered on the same route, or
    found outside the scope of the route, without a record: then nothing has to be delivered any more.

    The later attempt fetched the entity after the webhook was received. An entity outside does not settle a failure
    whose own write may have arrived: a person has to look for the record. Relayed deliveries are not changed: their
    data may not have been delivered since. Each run checks the next 200 deliveries of each state. Returns how many
    were settled.
    """
    # By the partial index of failures: SQLite uses it only if its condition is in the statement.
    failed = Delivery.objects.extra(where=["sync_delivery.state = 'dead'"])
    chunk = [*_next_chunk(State.DEAD, failed), *_next_chunk(State.HELD, Delivery.objects.held())]
    succeeded = _later_attempts(Q(outcome__in=SUCCESSFUL_OUTCOMES))
    # Of a route that observes, only the attempt has this code.
    outside = _later_attempts(Q(code=OUT_OF_SCOPE_CODE, delivery__code=OUT_OF_SCOPE_CODE))
    without_write = When(~Exists(_uncertain_writes()), then=Subquery(outside))
    superseded = Delivery.objects.filter(pk__in=chunk).annotate(
        superseded_by=Coalesce(Subquery(succeeded), Case(without_write, default=None))
    )
    return _settle_superseded(superseded.exclude(superseded_by=None).values_list("pk", "superseded_by"))


def _next_chunk(state: str, deliveries: QuerySet[Delivery]) -> Sequence[int]:
    """Return the keys that this run checks. After the last key, the next run starts again with the first."""
    keys = sorted(
        deliveries.filter(is_relayed=False, person_request=None).values_list("pk", flat=True)[:MAX_DELIVERIES]
    )
    chunk = [key for key in keys if key > _last_keys.get(state, 0)][:_CHUNK] or keys[:_CHUNK]
    _last_keys[state] = chunk[-1] if chunk else 0
    return chunk


def _later_attempts(ended: Q) -> QuerySet[Any]:
    """Select the newest attempt for the outer row's subject and route that ended so, and began after its webhook."""
    subject = {f"delivery__{column}": value for column, value in SUBJECT_OF_OUTER_ROW.items()}
    attempts = Attempt.objects.filter(
        **subject,
        # By the index of events.
        delivery__event__entity_id=OuterRef("entity_id"),
        delivery__route=OuterRef("route"),
        delivery__is_relayed=False,
        payload_choice=PayloadChoice.AS_ROUTED,
        started_at__gt=OuterRef("event__received_at"),
    )
    return attempts.filter(ended).order_by("-pk").values("pk")[:1]


def _uncertain_writes() -> QuerySet[Attempt]:
    """Select attempts of the outer row that may have written: then a record may exist that no link leads to."""
    own = Q(delivery=OuterRef("pk")) | Q(pk=OuterRef("covered_by"))
    planned_write = Q(outcome=AttemptOutcome.FAILED, action__in=_WRITES) & ~Q(code="target-rejected")
    return Attempt.objects.filter(own, Q(outcome=AttemptOutcome.UNKNOWN) | planned_write)


def _settle_superseded(superseded: Iterable[tuple[int, int]]) -> int:
    attempts = dict(superseded)
    if not attempts:
        return 0
    with transaction.atomic():
        rows = Delivery.objects.select_for_update(of=("self",)).filter(
            pk__in=attempts, state__in=[State.DEAD, State.HELD], person_request=None
        )
        deliveries = list(rows.select_related("event").order_by("event_id", "pk"))
        keys, now = Attempt.objects.in_bulk(set(attempts.values())), timezone.now()
        for delivery in deliveries:
            Delivery.objects.filter(pk=delivery.pk).update(
                state=State.SUPERSEDED,
                code=State.SUPERSEDED.value,
                covered_by=attempts[delivery.pk],
                settled_at=delivery.settled_at or now,
            )
        refresh_event_states({delivery.event_id for delivery in deliveries})
        append_entries(
            *(
                NewEntry(
                    delivery.stream,
                    "delivery.superseded",
                    details={"attempt": str(keys[attempts[delivery.pk]].key)},
                )
                for delivery in deliveries
            ),
            at=now,
        )
    return len(deliveries)
