"""Keep the state of an event up to date when its deliveries settle."""

from collections.abc import Iterable, Sequence

from database.statement import Statement
from sync.models import OBSERVED_CODES, SETTLED_STATES, Delivery
from sync.models.counts import mark_hours_for_recount
from webhooks.models import Event, State, event_state

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
    states_by_event: dict[int, list[tuple[str, str]]] = {event.pk: [] for event in events}
    columns = ("event_id", "state", "state_before_recheck", "code")
    deliveries = Delivery.objects.filter(event_id__in=states_by_event).values_list(*columns)
    for event_id, state, state_before_recheck, code in deliveries:
        # A re-check counts once it has ended.
        states_by_event[event_id].append((state_before_recheck or state, code))
    for event_id, states in states_by_event.items():
        END_EVENT.execute(*decide_event(states), event_id)


def decide_event(deliveries: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return state and code of an event from those of its deliveries. Those that a route observed are left out if there
    is another.
    """
    counted = [(state, code) for state, code in deliveries if not is_observed(state, code)] or deliveries
    state = event_state([state for state, _ in counted])
    return state, next((code for other, code in counted if other == state), "")


def is_observed(state: str, code: str) -> bool:
    """True for a delivery that has ended on a route that observed."""
    return state == State.IGNORED and code in OBSERVED_CODES
