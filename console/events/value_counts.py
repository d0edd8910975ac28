"""Count the events by each value of a filter, within bounds: which values occur, and how many events a click leads to.

The values of a filter are counted under the other filters of the list, and only if one index finds those events in
order. Each number then reads at most `COUNT_LIMIT` + 1 rows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import F, IntegerField, OuterRef, QuerySet, Subquery

from console.events import list_query
from console.ui.event_filters import EVENT_FILTERS, STATES_WITH_REASONS, state_of_reason
from console.ui.filters import FilterParams, ValueCounts
from sync.search.event_filter import EVENT_TYPES, LISTING_PARAMS, OTHER_TYPE, EventFilter
from webhooks.models import Event, Source, State

# With more sources, none is counted.
MAX_SOURCES = 30
_COLUMNS: Mapping[str, str] = {
    "state": "state",
    "code": "code",
    "event_type": "event_type",
    "source": "source__slug",
}
# Between the name of a filter and the state of a part of its events.
_PART = ":"
Row = tuple[str, str, int]


class _RowCount(Subquery):
    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()


@dataclass(slots=True)
class CountStatement:
    """One statement that counts several things. Its rows are a name, a value and a number."""

    parts: list[str] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)

    def add_number(self, name: str, number: str, rows: QuerySet[Any], value: str = "") -> None:
        """Add a number about these rows, which are read in a subquery."""
        # `number` is a text of this package.
        self._add(f"SELECT %s, %s, {number} FROM ({{}}) AS part", (name, value), rows)  # noqa: S608

    def add_groups(self, name: str, rows: QuerySet[Any]) -> None:
        """Add the number of these rows by their only column, `value`."""
        self._add("SELECT %s, value, COUNT(*) FROM ({}) AS part GROUP BY value", (name,), rows)

    def add_pairs(self, name: str, rows: QuerySet[Any]) -> None:
        """Add these rows, whose columns are `value` and `number`."""
        self._add("SELECT %s, value, number FROM ({}) AS part", (name,), rows)

    def _add(self, text: str, params: Sequence[Any], rows: QuerySet[Any]) -> None:
        """Add a part. Its texts are of this package and of the ORM. Rows that cannot exist add none."""
        try:
            sql, inner = rows.query.sql_with_params()
        except EmptyResultSet:
            return
        self.parts.append(text.format(sql))
        self.params += [*params, *inner]

    def run(self) -> list[Row]:
        """Return the rows of all parts."""
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(self.parts), self.params)
            rows: list[Row] = cursor.fetchall()
        return rows


def add_value_counts(statement: CountStatement, params: FilterParams, event_filter: EventFilter) -> list[str]:
    """Add the counts by value of each filter of a list that an index can count. `params`: the filters in its address.

    Returns the names of these filters.
    """
    counted = []
    for one in EVENT_FILTERS.filters:
        if one.name in LISTING_PARAMS:
            others = one.params_without(params)
            values: dict[str, Any] = {name: others.get(name, "") for name in LISTING_PARAMS}
            base = replace(event_filter, **values)
            if _is_countable(base):
                _add_counts(statement, one.name, base)
                counted.append(one.name)
    return counted


def _is_countable(base: EventFilter) -> bool:
    by_deliveries = base.target or base.failure_group or base.waits_for
    return not by_deliveries and list_query.is_counted_by_one_index(base)


def _add_counts(statement: CountStatement, name: str, base: EventFilter) -> None:
    limit, is_only_timed = list_query.COUNT_LIMIT + 1, base.filters_only_by_time
    keys = Event.objects.order_by().values("pk")
    # Each state and each source has an index of its own, which counts it exactly up to the limit.
    if is_only_timed and name == "state":
        for state in State:
            rows = base.with_state(state).apply_to(keys)[:limit]
            statement.add_number("state", "COUNT(*)", rows, state.value)
    elif is_only_timed and name == "source":
        rows = base.apply_to(keys.filter(source=OuterRef("pk")))[:limit]
        sources = Source.objects.order_by("pk").annotate(value=F("slug"), number=_RowCount(rows))
        statement.add_pairs("source", sources.values("value", "number")[: MAX_SOURCES + 1])
    else:
        # The values of the newest events: all of them, if there are not more than the limit.
        for part in _parts_by_index(name, base):
            rows = part.apply_to(Event.objects.order_by("-received_at", "-pk"))
            values = rows.values(value=F(_COLUMNS[name]))[:limit]
            statement.add_groups(f"{name}{_PART}{part.state}", values)


def _parts_by_index(name: str, base: EventFilter) -> list[EventFilter]:
    # A reason implies its status, unless the address has another one.
    if name == "code" and not base.state:
        return [base.with_state(state) for state in STATES_WITH_REASONS] if not base.source else []
    return list_query.split_by_index(base)


def read_value_counts(names: Iterable[str], rows: Iterable[Row]) -> dict[str, ValueCounts]:
    """Return the counts by value of the filters with these names, from the rows of the statement."""
    numbers, totals = {name: Counter[str]() for name in names}, Counter[str]()
    for part, value, number in rows:
        name, _, state = part.partition(_PART)
        totals[part] += number
        if name == "code" and state and state_of_reason(value) not in ("", state):
            continue
        known = name != "event_type" or value in EVENT_TYPES
        numbers[name][value if known else OTHER_TYPE] += number
    limit = list_query.COUNT_LIMIT
    cut = {part.partition(_PART)[0] for part, total in totals.items() if _PART in part and total > limit}
    return {
        name: ValueCounts(counts, limit, is_complete=name not in cut)
        for name, counts in numbers.items()
        if not (name == "source" and len(counts) > MAX_SOURCES)
    }
