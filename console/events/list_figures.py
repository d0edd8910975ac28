"""Count what the event list says of the whole table: its tabs, its headline, and the values of its filters.

One statement counts all of it, and reads at most `COUNT_LIMIT` + 1 rows for each number, in the order of an index.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import connection

from console.events import list_query
from console.events.count_statement import CountStatement
from console.events.value_counts import count_values
from console.ui.filters import FilterParams, ValueCounts
from sync.search.event_filter import EventFilter
from webhooks.models import Event, State

ATTENTION_STATES = (State.DEAD, State.HELD)
_TAB_STATES = (*ATTENTION_STATES, State.RETRYING)
_EPOCHS = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM received_at) AS bigint)",
    "sqlite": "CAST(strftime('%%s', received_at) AS bigint)",
}


@dataclass(frozen=True, slots=True)
class ListFigures:
    """Counts of the list. `by_state`: events by state, at most `COUNT_LIMIT` + 1 of each. `oldest`: when the oldest
    event was received that needs attention. `listed`: events that match the filters; None if no index could end that
    count early. `newest_key` and `oldest_key` bound the keys of all events. `values`: events by value of each filter
    that an index could count, by the names of filters.
    """

    by_state: Mapping[str, int]
    oldest: datetime | None
    listed: int | None
    oldest_key: int = 0
    newest_key: int = 0
    values: Mapping[str, ValueCounts] = field(default_factory=dict)

    @property
    def needing_attention(self) -> int:
        return sum(self.by_state.get(state, 0) for state in ATTENTION_STATES)


def load_list_figures(params: FilterParams, event_filter: EventFilter) -> ListFigures:
    """Return the counts of a list by one statement. `params`: its filters as the address has them."""
    statement = CountStatement()
    counter = count_values(statement, params, event_filter)
    tabs = {state: statement.count_events(EventFilter(state=state.value)) for state in _TAB_STATES}
    times = Event.objects.values("received_at").order_by("received_at", "pk")
    for state in ATTENTION_STATES:
        statement.add_number(state, f"MIN({_EPOCHS[connection.vendor]})", times.filter(state=state)[:1])
    for name, order in (("oldest key", "pk"), ("newest key", "-pk")):
        statement.add_number(name, "MIN(id)", Event.objects.order_by(order).values("id")[:1])
    listed = None
    if event_filter.is_restricted and list_query.is_counted_by_one_index(event_filter):
        listed = {statement.count_events(part) for part in list_query.split_by_index(event_filter)}
    statement.run()
    oldest = [number for state in ATTENTION_STATES if (number := statement.total(state))]
    return ListFigures(
        {state: statement.total(name) for state, name in tabs.items()},
        datetime.fromtimestamp(min(oldest), UTC) if oldest else None,
        None if listed is None else sum(map(statement.total, listed)),
        statement.total("oldest key"),
        statement.total("newest key"),
        counter.read_counts(),
    )
