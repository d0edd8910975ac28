"""Pages of lists that grow without end: from a place in their order on, never past rows that are counted off."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q
from django.http import QueryDict

from sync.search.periods import NoSuchFilter

ROWS = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Read = Callable[[Q, Sequence[str], int], list[Any]]


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the order of a list, between two rows."""

    at: datetime
    pk: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.pk}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """`NoSuchFilter` for what no page of ours links to."""
        moment, _dash, key = text.partition("-")
        if not (moment.isdecimal() and key.isdecimal() and text.isascii() and len(text) < 38):
            raise NoSuchFilter("no place in the list")
        try:
            return cls(_EPOCH + timedelta(microseconds=int(moment)), min(int(key), 2**63 - 1))
        except OverflowError as error:
            raise NoSuchFilter("no place in the list") from error


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the list a page begins: behind (`before`) or before (`after`) a cursor; neither: at its beginning."""

    before: Cursor | None = None
    after: Cursor | None = None
    oldest_first: bool = False

    @classmethod
    def asked(cls, query: QueryDict) -> "Place":
        """What the address of a page says. `NoSuchFilter`."""
        given = {name: Cursor.parse(query.get(name, "")) for name in ("before", "after") if query.get(name)}
        return cls(given.get("before"), given.get("after"), query.get("order") == "oldest")


@dataclass(frozen=True, slots=True)
class Rows:
    """One page. `older` and `newer` are where its neighbours begin, None where there is none."""

    shown: Sequence[Any]
    older: Cursor | None
    newer: Cursor | None


@dataclass(frozen=True, slots=True)
class Turning:
    """The addresses of the pages around one: its neighbours, and the same list from its other end."""

    older: str
    newer: str
    turned: str
    oldest_first: bool

    @classmethod
    def of(cls, here: str, rows: Rows, place: Place) -> "Turning":
        """`here`: the address of the list with its filters."""
        order = "&order=oldest" if place.oldest_first else ""
        return cls(
            older=f"{here}&before={rows.older}{order}" if rows.older else "",
            newer=f"{here}&after={rows.newer}{order}" if rows.newer else "",
            turned=here if place.oldest_first else f"{here}&order=oldest",
            oldest_first=place.oldest_first,
        )


@dataclass(frozen=True, slots=True)
class Keyset:
    """The order of a list: by the column `time`, and by key among rows of one moment."""

    time: str

    def cursor(self, row: Any) -> Cursor:
        """The place of this row."""
        return Cursor(getattr(row, self.time), row.pk)

    def older(self, cursor: Cursor) -> Q:
        """What lies behind it. One comparison on the time first, so that the index begins there."""
        return Q((f"{self.time}__lte", cursor.at)) & (
            Q((f"{self.time}__lt", cursor.at)) | Q(pk__lt=cursor.pk)
        )

    def newer(self, cursor: Cursor) -> Q:
        """What lies before it."""
        return Q((f"{self.time}__gte", cursor.at)) & (
            Q((f"{self.time}__gt", cursor.at)) | Q(pk__gt=cursor.pk)
        )

    def turn(self, place: Place, read: Read) -> Rows:
        """At most 50 rows. `read` is told what narrows them, their order, and how many are needed at most."""
        upward = place.after is not None if not place.oldest_first else place.before is None
        order = (self.time, "pk") if upward else (f"-{self.time}", "-pk")
        found = read(self._narrowing(place), order, ROWS + 1)
        more, rows = len(found) > ROWS, found[:ROWS]
        if not rows:
            return Rows((), None, None)
        if upward:
            rows.reverse()
        first, last = self.cursor(rows[0]), self.cursor(rows[-1])
        has_newer = more if upward else place.before is not None
        has_older = more if not upward else place.after is not None
        shown = rows[::-1] if place.oldest_first else rows
        return Rows(shown, last if has_older else None, first if has_newer else None)

    def _narrowing(self, place: Place) -> Q:
        if place.before is not None:
            return self.older(place.before)
        return self.newer(place.after) if place.after is not None else Q()


BY_ARRIVAL = Keyset("received_at")
