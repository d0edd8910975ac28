"""Keep the state of an event up to date when its deliveries settle."""

from collections.abc import Iterable, Sequence

from database.statement import Statement
from sync.models import SETTLED_STATES, Delivery
from sync.models.counts import mark_hours_for_recount
from webhooks.models import Event, event_state

END_EVENT = Statement("UPDATE webhooks_event SET state = %s, code = %s WHERE id = %s")


def refresh_event_states(event_ids: Iterable[int]) -> None:
    """Set the state of each event from the states of its deliveries.

    Call this after every change to deliveries of a settled event. It also marks the event's hour for a recount.
    """
    # Concurrent settlers of an event take turns, so the second one sees the states of the first. Key order prevents
    # deadlocks.
    rows = Event.objects.select_for_update(of=("self",)).filter(pk__in=list(event_ids)).order_by("pk")
    events = list(rows.only("pk", "state", "received_at"))
    # Hours of events that were not settled are counted again anyway: a webhook costs no extra statement.
    mark_hours_for_recount(event.received_at for event in events if event.state in SETTLED_STATES)
    by_event: dict[int, list[Delivery]] = {event.pk: [] for event in events}
    columns = ("event_id", "state", "state_before_recheck", "code", "route__mode")
    deliveries = Delivery.objects.filter(event_id__in=by_event).select_related("route").only(*columns)
    for delivery in deliveries:
        by_event[delivery.event_id].append(delivery)
    for event_id, of_event in by_event.items():
        END_EVENT.execute(*decide_event(of_event), event_id)


def decide_event(deliveries: Sequence[Delivery]) -> tuple[str, str]:
    """Return state and code of an event from those of its deliveries. Reads their routes.

    Those that a route observed, or will, are left out if there is another: an answer leaves them out too.
    """
    deciding = find_deciding(deliveries)
    return (event_state([]), "") if deciding is None else (counted_state(deciding), deciding.code)


def find_deciding(deliveries: Sequence[Delivery]) -> Delivery | None:
    """Return the first delivery in the state that the event has by all of them; None if there is none."""
    counted = [delivery for delivery in deliveries if not delivery.is_observed] or deliveries
    state = event_state([counted_state(delivery) for delivery in counted])
    return next((delivery for delivery in counted if counted_state(delivery) == state), None)


def counted_state(delivery: Delivery) -> str:
    """Return the state with which a delivery counts for its event: a re-check counts once it has ended."""
    return delivery.state_before_recheck or str(delivery.state)
