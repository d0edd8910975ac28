"""Choose the delivery that checks a record again, and make it due."""

from audit.entries.append import append_entries
from database.clock import database_now
from sync.deliveries.expired_leases import CRASH_CODE
from sync.deliveries.predicates import (
    has_no_open_breaker,
    is_of_same_subject,
    is_open,
    subject_filter,
)
from sync.erasure.requests import has_confirmed_erasure
from sync.evidence.row_facts import reopened_entries
from sync.models import SUCCESSFUL_OUTCOMES, Attempt, Delivery
from webhooks.models import State, is_erased

# Events of a subject among which the newest applied one is searched.
_MAX_EVENTS = 200

# Of the delivery `d`.
ROUTE_TABLES = """JOIN sync_route t ON t.id = d.route_id JOIN webhooks_event e ON e.id = d.event_id
    JOIN webhooks_source s ON s.id = e.source_id
    JOIN sync_connection i ON i.id = d.identity_id JOIN sync_connection c ON c.id = d.target_id"""
# Not while a delivery of the subject is open: it reads the record anyway, and the check follows when it has ended. Nor
# while a system is paused, disabled or its breaker open: the check could only fail, and make a success look like one.
# Nor while the route observes: it could write nothing.
CAN_BEGIN = f"""t.mode = 'live'
    AND t.paused_at IS NULL AND s.paused_at IS NULL AND i.paused_at IS NULL AND c.paused_at IS NULL
    AND i.is_enabled AND c.is_enabled
    AND {has_no_open_breaker("d")} AND NOT EXISTS (SELECT 1 FROM sync_delivery o
        WHERE {is_of_same_subject("o", "d")} AND {is_open("o")})"""  # noqa: S608


def may_run(delivery: Delivery) -> bool:
    """False if the entity was or is being erased, the delivery was closed, rejected or crashes processes, or the data
    that it relays are not stored any more.
    """
    if delivery.state == State.CLOSED or delivery.code == CRASH_CODE:
        return False
    if not delivery.is_fetched and delivery.event.payload_id is None:
        return False
    return not (is_erased(delivery.entity_id) or has_confirmed_erasure(delivery.event))


def make_due(delivery: Delivery) -> None:
    """Make a settled delivery pending. Its event keeps its state until the check has ended."""
    # `refresh_event_states` reads `state_before_recheck` until then, so it is not called here.
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.PENDING,
        state_before_recheck=delivery.state,
        # A delivery that failed for good gets this one attempt; any other as many as a replay.
        attempts_used=delivery.attempts_used if delivery.state == State.DEAD else 0,
        opened_at=delivery.opened_at if delivery.state == State.DEAD else database_now(),
        is_approved=False,
        creates_record=False,
        due_at=database_now(),
        settled_at=None,
        covered_by=None,
    )
    append_entries(*reopened_entries([delivery], "recheck"))


def choose_delivery(attempt: Attempt) -> Delivery:
    """Return the delivery whose data the record should have, as far as the hub knows.

    That is the one applied last since the attempt, or the attempt's own. If it fetches its entity, then the newest that
    does: any of them gives the same record, and the failure of a newer event is known already.
    """
    deliveries = _newest_deliveries(attempt.delivery)
    applied = (
        Attempt.objects.filter(
            delivery__in=[delivery.pk for delivery in deliveries],
            outcome__in=SUCCESSFUL_OUTCOMES,
            pk__gt=attempt.pk,
        )
        .order_by("-pk")
        .select_related("delivery")
        .first()
    )
    chosen = applied.delivery if applied else attempt.delivery
    if not chosen.is_fetched:
        return chosen
    return next((delivery for delivery in deliveries if delivery.is_fetched), chosen)


def _newest_deliveries(delivery: Delivery) -> list[Delivery]:
    """Return deliveries of the subject on the same route, ordered from the newest event to the oldest."""
    # The events are found by their index on the entity; deliveries that have ended have none.
    rows = Delivery.objects.filter(
        **subject_filter(delivery), route=delivery.route_id, event__entity_id=delivery.entity_id
    ).order_by("-event")
    return list(rows[:_MAX_EVENTS])
