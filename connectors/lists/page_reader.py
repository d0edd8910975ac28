"""Read a list page by page, without ever leaving the base URL of its connection."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Self

from connectors.client.connector_request import ConnectorRequest
from connectors.client.http_client import HttpClient
from connectors.http.message_types import HttpResponse
from connectors.http.query_parameters import Query
from connectors.lists.next_address import find_next_link, follow_address
from connectors.settings.expression_documents import PAGE_VALUES
from connectors.settings.page_style import (
    ModifiedSince,
    PagedList,
    Paging,
)
from connectors.values.answer_meaning import AnswerRule
from connectors.values.json_responses import JmesPathExpression, as_text

MAX_CURSOR_LENGTH = 4096
# The values of a page that a query parameter names; the settings of these names say which.
_PARAMETERS = ("start", "page", "cursor", "count")


class Page(NamedTuple):
    """One page of a list. `total` is the number of items on all pages together; None if the system does not say it."""

    request: ConnectorRequest
    items: list[Any]
    total: int | None


@dataclass(frozen=True, slots=True)
class _Position:
    """The position of a page in a list.

    `values` are the parameters that select the page. `path`, `path_values` and `query` are the parts of an address that
    the system returned.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    path_values: Mapping[str, str] = field(default_factory=dict)
    query: Query | None = None


@dataclass(frozen=True, slots=True)
class PageSource:
    """A list, and how its pages are requested.

    `make_request` returns the request for a page from the values that select it: `start`, `page`, `cursor`, `count`,
    `modified_since`. A value that does not apply is None. The request already contains the values named in
    `in_request`; the others become query parameters. `path` is the path in the settings. `results` selects the items.
    """

    paging: Paging
    path: str
    results: JmesPathExpression
    make_request: Callable[[Mapping[str, Any]], ConnectorRequest]
    in_request: frozenset[str] = frozenset()
    modified_since: ModifiedSince | None = None

    def with_size(self, size: int) -> Self:
        """Return the list with pages of `size` items."""
        return replace(self, paging=replace(self.paging, size=size))


def settings_source(
    client: HttpClient, settings: PagedList, rules: tuple[AnswerRule, ...] = ()
) -> PageSource:
    """Return the list that the settings of an identity service describe."""

    def make_request(values: Mapping[str, Any]) -> ConnectorRequest:
        request = ConnectorRequest(
            "list",
            settings.method,
            settings.path,
            query=settings.query,
            headers=settings.headers,
            answers=rules,
        )
        if settings.body is None:
            return request
        # What no page names is null: the first cursor, and the time of a complete list.
        context = {**dict.fromkeys(PAGE_VALUES), **values}
        return replace(request, body=client.render_body(settings.body, request, context))

    return PageSource(
        settings,
        settings.path,
        settings.results,
        make_request,
        settings.values_in_body,
        settings.modified_since,
    )


def read_first_page(client: HttpClient, source: PageSource, size: int) -> Page:
    """Return the first page, of at most `size` items if the system respects the size. Raises errors.ConnectorError."""
    return next(iterate_pages(client, source.with_size(size), 1))


def iterate_pages(
    client: HttpClient,
    source: PageSource,
    max_pages: int,
    *,
    skip: int = 0,
    since: datetime | None = None,
) -> Iterator[Page]:
    """Iterate over at most `max_pages` pages, each requested when it is needed. Raises errors.ConnectorError.

    With `offset`, the first page begins after `skip` items, with `page` it is the page that has the next item; the
    other styles begin at the first page. Raises
    UnreadableResponse if a cursor or an address repeats, and UnsafeRequest for an address elsewhere.
    """
    position: _Position | None = _first_position(source.paging, skip)
    received, seen = _items_before(source.paging, skip), set[Any]()
    for _ in range(max_pages):
        assert position is not None
        request = _make_request(source, position, since)
        response = client.send_request(request)
        # A response without content is a page without items.
        is_empty = response.status == 204
        body = None if is_empty else client.read_json(request, response)
        items = [] if is_empty else client.evaluate(source.results, request, body)
        if not isinstance(items, list):
            raise client.unreadable_error(request, "the response is not a list")
        total = _read_total(client, source.paging, request, body)
        yield Page(request, items, total)
        # Such a page may have a successor only where the system names it.
        if not items and source.paging.style in ("offset", "page"):
            return
        # Count the items received, not the page size: a service may return smaller pages.
        received += len(items)
        position = _next_position(client, source, request, response, body, received, position)
        if position is None or (total is not None and received >= total):
            return
        mark = (
            position.path,
            tuple(position.path_values.values()),
            repr(position.query),
            repr(position.values),
        )
        if mark in seen:
            raise client.unreadable_error(request, "the list names the same next page again")
        seen.add(mark)


def _items_before(settings: Paging, skip: int) -> int:
    """Return the number of items before the first page that is requested."""
    if settings.style == "offset":
        return skip
    return skip // settings.size * settings.size if settings.style == "page" else 0


def _first_position(settings: Paging, skip: int) -> _Position:
    if settings.style == "offset":
        return _Position({"start": settings.first + skip})
    if settings.style == "page":
        return _Position({"page": settings.first_page + skip // settings.size})
    return _Position({"cursor": None} if settings.style == "cursor" else {})


def _make_request(source: PageSource, position: _Position, since: datetime | None) -> ConnectorRequest:
    paging, limit = source.paging, source.modified_since
    values = {**position.values, "count": paging.size}
    if since is not None and limit is not None:
        values["modified_since"] = limit.write_time(since)
    if paging.style is None:
        return source.make_request({})
    request = source.make_request(values)
    if position.path is not None:
        # An address of the system: it has all parameters already.
        return replace(
            request,
            path_template=position.path,
            path_values=position.path_values,
            query=position.query or {},
        )
    query = {
        **request.query,
        **(limit.fill_query(since) if since and limit and "modified_since" not in source.in_request else {}),
        **{
            _parameter(paging, name): str(value)
            for name, value in values.items()
            if name not in source.in_request and value is not None and _parameter(paging, name)
        },
    }
    return replace(request, query=query)


def _parameter(settings: Paging, name: str) -> str:
    """Return the query parameter for a value; an empty text if there is none."""
    return (getattr(settings, name) or "") if name in _PARAMETERS else ""


def _read_total(client: HttpClient, settings: Paging, request: ConnectorRequest, body: Any) -> int | None:
    if settings.total is None:
        return None
    total = client.evaluate(settings.total, request, body)
    # In Python a boolean is an int too.
    return total if isinstance(total, int) and not isinstance(total, bool) else None


def _next_position(
    client: HttpClient,
    source: PageSource,
    request: ConnectorRequest,
    response: HttpResponse,
    body: Any,
    received: int,
    position: _Position,
) -> _Position | None:
    """Return the position of the next page, None after the last one."""
    settings = source.paging
    if settings.style is None:
        return None
    if settings.style == "offset":
        return _Position({"start": settings.first + received})
    if settings.style == "page":
        return _Position({"page": int(position.values["page"]) + 1})
    if settings.style == "link":
        target: str | None = find_next_link(response.headers.get("link", ""))
    else:
        assert settings.next is not None, "required by the settings"
        target = as_text(client.evaluate(settings.next, request, body))
    if not target:
        return None
    if len(target) > MAX_CURSOR_LENGTH:
        raise client.unreadable_error(request, "the place of the next page is too long")
    if settings.style == "cursor":
        return _Position({"cursor": target})
    address = follow_address(client, source.path, request, target)
    return _Position(path=address.path, path_values=address.path_values, query=address.query)
