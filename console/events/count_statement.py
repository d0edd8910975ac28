"""One statement that counts several things about the events, and each of them once."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import F, QuerySet

from console.events import list_query
from sync.search.event_filter import EventFilter
from webhooks.models import Event


@dataclass(slots=True)
class CountStatement:
    """A statement of parts. Each row has the name of its part, a value, a number that may be absent, and a text.

    The events of one filter are counted by one part, up to `COUNT_LIMIT` + 1 of them.
    """

    _parts: list[str] = field(default_factory=list)
    _params: list[Any] = field(default_factory=list)
    _names: dict[EventFilter, str] = field(default_factory=dict)
    _numbers: dict[str, Counter[str]] = field(default_factory=dict)
    _texts: dict[str, dict[str, str]] = field(default_factory=dict)

    def add_number(self, name: str, number: str, rows: QuerySet[Any]) -> None:
        """Add a part with one number about these rows. `number`: a text of this package."""
        self._add(f"SELECT %s, '', {number}, '' FROM ({{}}) AS part", name, rows)  # noqa: S608

    def add_rows(self, name: str, rows: QuerySet[Any]) -> None:
        """Add a part with these rows, whose columns are `value`, `number` and `text`."""
        self._add("SELECT %s, value, number, text FROM ({}) AS part", name, rows)

    def group_events(self, events: EventFilter, column: str) -> str:
        """Add a part with the number of the newest events by the value of a column, and return its name."""
        name = self._names[events] = f"events {len(self._parts)}"
        newest = events.apply_to(Event.objects.order_by("-received_at", "-pk"))
        rows = newest.values(value=F(column))[: list_query.COUNT_LIMIT + 1]
        self._add("SELECT %s, value, COUNT(*), '' FROM ({}) AS part GROUP BY value", name, rows)
        return name

    def count_events(self, events: EventFilter) -> str:
        """Return the name of the part that counts these events. It is added if no other part has counted them."""
        if events not in self._names:
            name = self._names[events] = f"events {len(self._parts)}"
            rows = events.apply_to(Event.objects.order_by().values("pk"))
            self.add_number(name, "COUNT(*)", rows[: list_query.COUNT_LIMIT + 1])
        return self._names[events]

    def _add(self, text: str, name: str, rows: QuerySet[Any]) -> None:
        """Add a part. Its texts are of this package and of the ORM. Rows that cannot exist add none."""
        try:
            sql, params = rows.query.sql_with_params()
        except EmptyResultSet:
            return
        self._parts.append(text.format(sql))
        self._params += [name, *params]

    def run(self) -> None:
        """Run the statement, once all parts were added."""
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(self._parts), self._params)
            for name, value, number, text in cursor.fetchall():
                self._texts.setdefault(name, {})[value] = text
                if number is not None:
                    self._numbers.setdefault(name, Counter())[value] += number

    def numbers(self, name: str) -> Mapping[str, int]:
        """Return the numbers of a part by value; none for a part without rows."""
        return self._numbers.get(name, {})

    def texts(self, name: str) -> Mapping[str, str]:
        """Return the texts of a part by value, in the order of its rows."""
        return self._texts.get(name, {})

    def total(self, name: str) -> int:
        """Return the sum of the numbers of a part."""
        return sum(self.numbers(name).values())
