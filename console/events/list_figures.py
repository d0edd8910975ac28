"""Count what the event list says of the whole table: its tabs, its headline, and the values of its filters.

One statement counts all of it, and reads at most `COUNT_LIMIT` + 1 rows for each number, in the order of an index.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import connection

from console.events import list_query
from console.events.value_counts import CountStatement, Row, add_value_counts, read_value_counts
from console.ui.filters import FilterParams, ValueCounts
from sync.search.event_filter import EventFilter
from webhooks.models import Event, State

ATTENTION_STATES = (State.DEAD, State.HELD)
_TAB_STATES = (*ATTENTION_STATES, State.RETRYING)
_SUMS = ("listed", "oldest key", "newest key")
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
    statement, limit = CountStatement(), list_query.COUNT_LIMIT + 1
    keys = Event.objects.order_by().values("pk")
    for state in _TAB_STATES:
        statement.add_number("tab", "COUNT(*)", keys.filter(state=state)[:limit], state)
    times = Event.objects.values("received_at").order_by("received_at", "pk")
    for state in ATTENTION_STATES:
        statement.add_number("oldest", f"MIN({_EPOCHS[connection.vendor]})", times.filter(state=state)[:1])
    for name, order in (("oldest key", "pk"), ("newest key", "-pk")):
        statement.add_number(name, "MIN(id)", Event.objects.order_by(order).values("id")[:1])
    for part in _counted_parts(event_filter):
        statement.add_number("listed", "COUNT(*)", part.apply_to(keys)[:limit])
    counted = add_value_counts(statement, params, event_filter)
    return _read_figures(statement.run(), counted)


def _counted_parts(event_filter: EventFilter) -> Iterator[EventFilter]:
    if event_filter.is_restricted and list_query.is_counted_by_one_index(event_filter):
        yield from list_query.split_by_index(event_filter)


def _read_figures(rows: Sequence[Row], counted: Sequence[str]) -> ListFigures:
    sums: Counter[str] = Counter()
    by_state, oldest, others = dict[str, int](), list[int](), list[Row]()
    for name, value, number in rows:
        if name == "tab":
            by_state[value] = number
        elif name == "oldest":
            oldest += [] if number is None else [number]
        elif name in _SUMS:
            sums[name] += number or 0
        else:
            others.append((name, value, number))
    return ListFigures(
        by_state,
        datetime.fromtimestamp(min(oldest), UTC) if oldest else None,
        sums.get("listed"),
        sums["oldest key"],
        sums["newest key"],
        read_value_counts(counted, others),
    )
