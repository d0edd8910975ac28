"""Count what the event list says of the whole table: its tabs, its headline, and the values of its filters.

One statement counts all of it, and reads at most `COUNT_LIMIT` + 1 rows for each number, in the order of an index.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from console.events import list_query
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
    count early. `newest_key` and `oldest_key` bound the keys of all events.
    """

    by_state: Mapping[str, int]
    oldest: datetime | None
    listed: int | None
    oldest_key: int = 0
    newest_key: int = 0

    @property
    def needing_attention(self) -> int:
        return sum(self.by_state.get(state, 0) for state in ATTENTION_STATES)


@dataclass(slots=True)
class _Statement:
    """Parts of one statement, whose rows are a name, a value and a number."""

    parts: list[str] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)

    def add(self, name: str, number: str, rows: QuerySet[Any], value: str = "") -> None:
        """Add one row: a number about these rows, which are read in a subquery. Rows that cannot exist add none."""
        try:
            sql, inner = rows.query.sql_with_params()
        except EmptyResultSet:
            return
        # Texts of this module and of the ORM; values are parameters.
        self.parts.append(f"SELECT %s, %s, {number} FROM ({sql}) AS part")  # noqa: S608
        self.params += [name, value, *inner]

    def run(self) -> list[tuple[str, str, int]]:
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(self.parts), self.params)
            rows: list[tuple[str, str, int]] = cursor.fetchall()
        return rows


def load_list_figures(event_filter: EventFilter) -> ListFigures:
    """Return the counts of a list with these filters, by one statement."""
    statement, limit = _Statement(), list_query.COUNT_LIMIT + 1
    keys = Event.objects.order_by().values("pk")
    for state in _TAB_STATES:
        statement.add("state", "COUNT(*)", keys.filter(state=state)[:limit], state)
    times = Event.objects.values("received_at").order_by("received_at", "pk")
    for state in ATTENTION_STATES:
        statement.add("oldest", f"MIN({_EPOCHS[connection.vendor]})", times.filter(state=state)[:1])
    for name, order in (("oldest key", "pk"), ("newest key", "-pk")):
        statement.add(name, "MIN(id)", Event.objects.order_by(order).values("id")[:1])
    for part in _counted_parts(event_filter):
        statement.add("listed", "COUNT(*)", part.apply_to(keys)[:limit])
    return _read_figures(statement.run())


def _counted_parts(event_filter: EventFilter) -> Iterator[EventFilter]:
    if event_filter.is_restricted and list_query.is_counted_by_one_index(event_filter):
        yield from list_query.split_by_index(event_filter)


def _read_figures(rows: Sequence[tuple[str, str, int]]) -> ListFigures:
    sums: Counter[str] = Counter()
    by_state, oldest = dict[str, int](), list[int]()
    for name, value, number in rows:
        if name == "state":
            by_state[value] = number
        elif name == "oldest" and number is not None:
            oldest.append(number)
        else:
            sums[name] += number or 0
    return ListFigures(
        by_state,
        datetime.fromtimestamp(min(oldest), UTC) if oldest else None,
        sums.get("listed"),
        sums["oldest key"],
        sums["newest key"],
    )
