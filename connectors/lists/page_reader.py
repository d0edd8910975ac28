"""Read a list page by page, without ever leaving the base URL of its connection."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple

from connectors.client.connector_request import ConnectorRequest
from connectors.client.http_client import HttpClient
from connectors.contracts.errors import PositionRefused, RequestRejected
from connectors.http.message_types import HttpResponse
from connectors.lists.list_position import (
    MAX_CURSOR_LENGTH,
    ListPosition,
    PositionUnreadable,
    digest_ids,
    digest_place,
    digest_settings,
    is_mark,
    is_storable,
)
from connectors.lists.next_address import find_next_link, shorten_address
from connectors.lists.page_source import Item, PageSource, make_page_request
from connectors.settings.page_style import Paging
from connectors.values.json_responses import as_text

# Of one list: a system that never stops naming another page must not keep the hub busy for ever.
MAX_PAGES = 100_000


class Page(NamedTuple, Generic[Item]):
    """One page of a list. `total`: the number of items on all pages together, without those that were null so far; None
    if the system does not say it. `next`: the position of the next page; None after the last one.
    """

    items: tuple[Item, ...]
    total: int | None
    next: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _ReceivedPage(Generic[Item]):
    """A page that was received, and what says where the next one is. `received`: the number of its items, also of those
    that are on it twice, and of the `left_out` that are null. `total`: as the system states it.
    """

    request: ConnectorRequest
    response: HttpResponse
    body: Any
    position: ListPosition | None
    items: Mapping[str, Item]
    received: int
    left_out: int
    total: int | None

    @property
    def all_left_out(self) -> int:
        """The number of null items up to this page."""
        return self.left_out + (0 if self.position is None else self.position.left_out)


def read_page(
    client: HttpClient,
    source: PageSource[Item],
    position: Mapping[str, Any] | None,
    *,
    since: datetime | None = None,
) -> Page[Item]:
    """Return the page at a position, each item once; the first page if the position is None.

    `offset` and `page` end at the total that the system states, and at a page without new items: past the end, or the
    system ignores the position. Raises UnreadableResponse if a cursor, an address or a page repeats, UnsafeRequest for
    an address elsewhere, PositionRefused if the system or the settings refuse the position, and any other
    errors.ConnectorError.
    """
    received = _receive_page(client, source, position, since)
    total = None if received.total is None else max(0, received.total - received.all_left_out)
    if source.is_counted and not _has_new_items(received):
        return Page((), total, None)
    following = _find_next(client, source, received)
    return Page(tuple(received.items.values()), total, None if following is None else following.to_json())


def iterate_pages(client: HttpClient, source: PageSource[Item], max_pages: int) -> Iterator[tuple[Item, ...]]:
    """Iterate over the items of at most `max_pages` pages. Each page, and what says where it is, is read when it is
    needed. Raises what `read_page` raises.
    """
    position: dict[str, Any] | None = None
    for _ in range(max_pages):
        received = _receive_page(client, source, position, None)
        if source.is_counted and not _has_new_items(received):
            return
        yield tuple(received.items.values())
        following = _find_next(client, source, received)
        if following is None:
            return
        position = following.to_json()


def read_first_items(client: HttpClient, source: PageSource[Item], size: int) -> tuple[Item, ...]:
    """Return the items of the first page, at most `size` if the system respects the size. Raises
    errors.ConnectorError.
    """
    return next(iterate_pages(client, source.with_size(size), 1), ())


def _receive_page(
    client: HttpClient,
    source: PageSource[Item],
    stored: Mapping[str, Any] | None,
    since: datetime | None,
) -> _ReceivedPage[Item]:
    position = None if stored is None else _read_position(client, source, stored)
    request = make_page_request(client, source, position, since)
    try:
        response = client.send_request(request)
    except RequestRejected as rejected:
        raise (rejected if position is None else PositionRefused.from_rejection(rejected)) from None
    # A response without content is a page without items.
    is_empty = response.status == 204
    body = None if is_empty else client.read_json(request, response)
    found = [] if is_empty else client.read_list(source.results, request, body)
    # A null is no item, and yet it was one of the page: the settings leave out what counts as deleted.
    parsed = [source.parse_item(request, one) for one in found if one is not None]
    items = {item.id: item for item in parsed}
    total = _read_total(client, source.paging, request, body)
    # Count the items received, not the page size: a system may return smaller pages.
    return _ReceivedPage(
        request, response, body, position, items, len(found), len(found) - len(parsed), total
    )


def _has_new_items(page: _ReceivedPage[Item]) -> bool:
    before = page.position
    if before is None or not page.items:
        return page.received > 0
    return digest_ids(page.items) not in (before.last, before.mark)


def _read_position(client: HttpClient, source: PageSource[Item], stored: Mapping[str, Any]) -> ListPosition:
    digest = _digest_list(client, source)
    try:
        return ListPosition.from_json(stored, digest, is_number=source.is_counted)
    except PositionUnreadable:
        reason = f"{source.path}: the stored position does not fit the settings of the list"
        raise PositionRefused(reason, side=client.side) from None


def _read_total(client: HttpClient, settings: Paging, request: ConnectorRequest, body: Any) -> int | None:
    if settings.total is None:
        return None
    total = client.evaluate(settings.total, request, body)
    # In Python a boolean is an int too.
    return total if isinstance(total, int) and not isinstance(total, bool) and total >= 0 else None


def _digest_list(client: HttpClient, source: PageSource[Item]) -> str:
    base = client.base_url
    return digest_settings({"base_url": f"{base.origin}{base.prefix}", "list": source.paging.to_json()})


def _find_next(
    client: HttpClient, source: PageSource[Item], page: _ReceivedPage[Item]
) -> ListPosition | None:
    """Return the position of the next page, None after the last one."""
    before, own = page.position, digest_ids(page.items)
    received = page.received + (0 if before is None else before.received)
    pages = 1 + (0 if before is None else before.pages)
    at = _find_place(client, source, page, received)
    if at is None:
        return None
    if pages >= MAX_PAGES:
        raise client.unreadable_error(page.request, "the list has too many pages")
    mark = own
    if isinstance(at, str):
        mark = digest_place(at)
        if before is not None and (at == before.at or mark == before.mark):
            raise client.unreadable_error(page.request, "the list names the same next page again")
        if before is not None and page.items and own == before.last:
            raise client.unreadable_error(page.request, "the list returns the same page again")
    mark = mark if before is None or is_mark(pages) else before.mark
    return ListPosition(_digest_list(client, source), at, received, page.all_left_out, pages, own, mark)


def _find_place(
    client: HttpClient, source: PageSource[Item], page: _ReceivedPage[Item], received: int
) -> int | str | None:
    """Return where the next page is: its start, number, cursor or address; None after the last one."""
    paging, request = source.paging, page.request
    if paging.style is None:
        return None
    if source.is_counted:
        if not page.received or (page.total is not None and received >= page.total):
            return None
        if paging.style == "offset":
            return paging.first + received
        return 1 + (paging.first_page if page.position is None else int(page.position.at))
    if paging.style == "link":
        target = find_next_link(page.response.headers.get("link", ""))
    else:
        assert paging.next is not None, "required by the settings"
        found = client.evaluate(paging.next, request, page.body)
        target = as_text(found)
        if target is None and found not in (None, False):
            # As the end of the list, it would make a comparison count all further items as missing.
            raise client.unreadable_error(
                request, "the place of the next page is neither a text nor a number"
            )
    if not target:
        return None
    if len(target) > MAX_CURSOR_LENGTH:
        raise client.unreadable_error(request, "the place of the next page is too long")
    place = shorten_address(client, source.path, request, target) if paging.names_address else target
    if not is_storable(place) or client.contains_secret(place):
        raise client.unreadable_error(request, "the place of the next page cannot be stored")
    return place
