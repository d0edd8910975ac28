"""Keyset pagination for lists that grow without end: pages start at a cursor, and no page skips rows to reach it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q
from django.http import QueryDict

from sync.search.time_ranges import InvalidFilter

PAGE_SIZE = 50
# Of rows one after the other whose time cannot be read: they share a page with the next row that has a cursor.
MAX_WITHOUT_CURSOR = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FetchRows = Callable[[Q, Sequence[str], int], list[Any]]


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position between two rows of a list."""

    at: datetime
    pk: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.pk}"

    @classmethod
    def parse_cursor(cls, text: str) -> "Cursor":
        """Parse the cursor of an address. Raises InvalidFilter for text that no page links to."""
        moment, _dash, key = text.partition("-")
        if not (moment.isdecimal() and key.isdecimal() and text.isascii() and len(text) < 38):
            raise InvalidFilter("an invalid position in the list")
        try:
            # The database refuses to compare with a key beyond a BIGINT.
            return cls(_EPOCH + timedelta(microseconds=int(moment)), min(int(key), 2**63 - 1))
        except OverflowError as error:
            raise InvalidFilter("an invalid position in the list") from error


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The requested page of a list: rows older than `before`, newer than `after`, or with neither the first page."""

    before: Cursor | None = None
    after: Cursor | None = None
    oldest_first: bool = False

    @classmethod
    def from_query(cls, query: QueryDict) -> "PageRequest":
        """Read the requested page from an address. Raises InvalidFilter."""
        given = {
            name: Cursor.parse_cursor(query.get(name, "")) for name in ("before", "after") if query.get(name)
        }
        return cls(given.get("before"), given.get("after"), query.get("order") == "oldest")

    @property
    def is_upward(self) -> bool:
        """True if the page is read from older rows to newer ones. Its rows are reversed after that."""
        return self.after is not None if not self.oldest_first else self.before is None


@dataclass(frozen=True, slots=True)
class KeysetPage:
    """The rows of one page, and the cursors of its older and newer neighbours; None where there is none."""

    rows: Sequence[Any]
    older_cursor: Cursor | None
    newer_cursor: Cursor | None


def build_page(
    fetched: Sequence[Any],
    page_request: PageRequest,
    cursor_of: Callable[[Any], Cursor | None],
    size: int | None = None,
) -> KeysetPage:
    """Build a page from at most `size` (`PAGE_SIZE`) + 1 rows in the order of `page_request.is_upward`.

    A row without a cursor has no readable time: the page next to it begins at the nearest row that has one.
    """
    size = PAGE_SIZE if size is None else size
    # One row more than a page was fetched: it tells if there is another page.
    more, rows = len(fetched) > size, list(fetched[:size])
    if not rows:
        return KeysetPage((), None, None)
    upward = page_request.is_upward
    if upward:
        rows.reverse()
    cursors = [cursor for row in rows if (cursor := cursor_of(row)) is not None]
    first, last = (cursors[0], cursors[-1]) if cursors else (None, None)
    has_newer = more if upward else page_request.before is not None
    has_older = more if not upward else page_request.after is not None
    shown = rows[::-1] if page_request.oldest_first else rows
    return KeysetPage(shown, last if has_older else None, first if has_newer else None)


@dataclass(frozen=True, slots=True)
class PageLinks:
    """The URLs of the neighbouring pages and of the list in reverse order."""

    older_url: str
    newer_url: str
    reversed_url: str
    oldest_first: bool

    @classmethod
    def for_page(cls, list_url: str, page: KeysetPage, page_request: PageRequest) -> "PageLinks":
        """Build the links around a page. `list_url` is the address of the list with its filters."""
        order = "&order=oldest" if page_request.oldest_first else ""
        return cls(
            older_url=f"{list_url}&before={page.older_cursor}{order}" if page.older_cursor else "",
            newer_url=f"{list_url}&after={page.newer_cursor}{order}" if page.newer_cursor else "",
            reversed_url=list_url if page_request.oldest_first else f"{list_url}&order=oldest",
            oldest_first=page_request.oldest_first,
        )


@dataclass(frozen=True, slots=True)
class Keyset:
    """Order a list by the column `time_column`, and by key within one instant."""

    time_column: str

    def cursor_of(self, row: Any) -> Cursor | None:
        """Return the cursor of a row; None if its time cannot be read."""
        at: datetime | None = getattr(row, self.time_column)
        return None if at is None else Cursor(at, row.pk)

    def older_than(self, cursor: Cursor) -> Q:
        """Filter for rows after the cursor in newest-first order."""
        # The redundant comparison on the time alone lets the database start its index scan at the cursor.
        return Q((f"{self.time_column}__lte", cursor.at)) & (
            Q((f"{self.time_column}__lt", cursor.at)) | Q(pk__lt=cursor.pk)
        )

    def newer_than(self, cursor: Cursor) -> Q:
        """Filter for rows before the cursor in newest-first order."""
        return Q((f"{self.time_column}__gte", cursor.at)) & (
            Q((f"{self.time_column}__gt", cursor.at)) | Q(pk__gt=cursor.pk)
        )

    def order_by(self, page_request: PageRequest) -> tuple[str, ...]:
        """Return the order in which a page is read. One before its cursor is read upwards, then reversed."""
        upward = page_request.is_upward
        return (self.time_column, "pk") if upward else (f"-{self.time_column}", "-pk")

    def fetch_page(
        self, page_request: PageRequest, fetch_rows: FetchRows, size: int | None = None
    ) -> KeysetPage:
        """Fetch one page of at most `size` (`PAGE_SIZE`) rows. `fetch_rows` takes a filter, an order and a limit.

        A page without any readable time goes on up to the next row that has one, so that there is a next page.
        """
        order = self.order_by(page_request)
        condition, size = self._page_filter(page_request), PAGE_SIZE if size is None else size
        fetched = fetch_rows(condition, order, size + 1)
        if len(fetched) > size and not any(self.cursor_of(row) for row in fetched[:size]):
            fetched = fetch_rows(condition, order, MAX_WITHOUT_CURSOR + 1)
            readable = (place for place, row in enumerate(fetched) if self.cursor_of(row))
            size = min(next(readable, MAX_WITHOUT_CURSOR) + 1, MAX_WITHOUT_CURSOR)
        return build_page(fetched, page_request, self.cursor_of, size)

    def _page_filter(self, page_request: PageRequest) -> Q:
        if page_request.before is not None:
            return self.older_than(page_request.before)
        return self.newer_than(page_request.after) if page_request.after is not None else Q()


@dataclass(frozen=True, slots=True)
class KeyOrder(Keyset):
    """Order a list by key alone, for rows that are stored at about the same time."""

    time_column: str = ""

    def cursor_of(self, row: Any) -> Cursor | None:
        """Return the cursor of a row. Its time is the same for all rows."""
        return Cursor(_EPOCH, row.pk)

    def older_than(self, cursor: Cursor) -> Q:
        """Filter for rows with a smaller key."""
        return Q(pk__lt=cursor.pk)

    def newer_than(self, cursor: Cursor) -> Q:
        """Filter for rows with a greater key."""
        return Q(pk__gt=cursor.pk)

    def order_by(self, page_request: PageRequest) -> tuple[str, ...]:
        """Return the order in which a page is read."""
        return ("pk",) if page_request.is_upward else ("-pk",)


BY_RECEIVED_TIME = Keyset("received_at")
BY_KEY = KeyOrder()
