"""Count the events by each value of a filter, within bounds: which values occur, and how many events a click leads to.

The values of a filter are counted under the other filters of the list, and only if one index finds those events in
order. Each number then reads at most `COUNT_LIMIT` + 1 rows.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import Case, F, IntegerField, OuterRef, QuerySet, Value, When
from django.db.models.functions import Cast

from console.events import list_query
from console.events.count_statement import CountStatement
from console.ui.event_filters import EVENT_FILTERS, STATES_WITH_REASONS, state_of_reason
from console.ui.filters import FilterParams, ValueCounts
from database.lookups.row_count import RowCount
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
_SOURCES = "sources"


@dataclass(slots=True)
class ValueCounter:
    """Counts the events by the values of the filters of a list, as parts of a statement.

    `bases`: the other filters of the list, for each filter that an index can count. `groups`: the parts that count a
    filter, each with the state of its events. `states`: the part that counts the events of a state.
    """

    statement: CountStatement
    bases: Mapping[str, EventFilter]
    groups: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)

    def add_counts(self) -> None:
        """Add the counts to the statement, and the names of all sources."""
        exact = {name: base for name, base in self.bases.items() if base.filters_only_by_time}
        self.statement.add_rows(_SOURCES, _sources(exact.get("source")))
        for name, base in self.bases.items():
            # Each state and each source has an index of its own, which counts it exactly up to the limit.
            if not (name in exact and name in ("state", "source")):
                self.groups[name] = [
                    (self.statement.group_events(part, _COLUMNS[name]), part.state)
                    for part in _parts_by_index(name, base)
                ]
        # After the reasons, which count the events of three states.
        if "state" in exact:
            of_state = exact["state"].with_state
            self.states = {state: self.statement.count_events(of_state(state)) for state in State.values}

    def read_counts(self) -> dict[str, ValueCounts]:
        """Return the counts by value of each filter that was counted, once the statement has run."""
        counts, limit = {name: self._read_groups(name) for name in self.groups}, list_query.COUNT_LIMIT
        if self.states:
            totals = {state: self.statement.total(part) for state, part in self.states.items()}
            counts["state"] = ValueCounts(totals, limit)
        names, numbers = self.statement.texts(_SOURCES), self.statement.numbers(_SOURCES)
        known = counts.get("source") or ValueCounts(numbers, limit, is_complete=bool(numbers))
        counts["source"] = replace(known, texts=dict(sorted(names.items())))
        return counts

    def _read_groups(self, name: str) -> ValueCounts:
        numbers, limit, is_complete = Counter[str](), list_query.COUNT_LIMIT, True
        for part, state in self.groups[name]:
            is_complete = is_complete and self.statement.total(part) <= limit
            for value, number in self.statement.numbers(part).items():
                if name == "code" and state and state_of_reason(value) not in ("", state):
                    continue
                known = name != "event_type" or value in EVENT_TYPES
                numbers[value if known else OTHER_TYPE] += number
        return ValueCounts(numbers, limit, is_complete=is_complete)


def count_values(statement: CountStatement, params: FilterParams, event_filter: EventFilter) -> ValueCounter:
    """Add the counts by value of each filter of a list that an index can count. `params`: its filters, as the address
    has them.
    """
    bases = {}
    for one in EVENT_FILTERS.filters:
        if one.name in LISTING_PARAMS:
            others = one.params_without(params)
            values: dict[str, Any] = {name: others.get(name, "") for name in LISTING_PARAMS}
            base = replace(event_filter, **values)
            if _is_countable(base):
                bases[one.name] = base
    counter = ValueCounter(statement, bases)
    counter.add_counts()
    return counter


def _is_countable(base: EventFilter) -> bool:
    by_deliveries = base.target or base.failure_group or base.waits_for
    return not by_deliveries and list_query.is_counted_by_one_index(base)


def _sources(base: EventFilter | None) -> QuerySet[Any]:
    """Return slug and name of all sources, and the number of their events; none of more sources than are counted, or
    without a filter by time alone.
    """
    number: Any = Cast(Value(None), IntegerField())
    total = RowCount(Source.objects.order_by().values("pk")[: MAX_SOURCES + 1])
    if base is not None:
        events = base.apply_to(Event.objects.order_by().filter(source=OuterRef("pk")).values("pk"))
        number = Case(When(total__lte=MAX_SOURCES, then=RowCount(events[: list_query.COUNT_LIMIT + 1])))
    sources = Source.objects.order_by().alias(total=total)
    return sources.annotate(value=F("slug"), number=number, text=F("name")).values("value", "number", "text")


def _parts_by_index(name: str, base: EventFilter) -> list[EventFilter]:
    # A reason implies its status, unless the address has another one.
    if name == "code" and not base.state:
        return [base.with_state(state) for state in STATES_WITH_REASONS] if not base.source else []
    return list_query.split_by_index(base)
