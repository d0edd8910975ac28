"""Read a list page by page, without ever leaving the base URL of its connection."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urljoin, urlsplit

from connectors.client.connector_request import ConnectorRequest
from connectors.client.http_client import HttpClient
from connectors.http.message_types import HttpResponse
from connectors.http.query_parameters import Query, group_pairs
from connectors.http.urls import BaseUrl, check_id, is_plain_path
from connectors.settings.expression_documents import PAGE_VALUES
from connectors.settings.page_style import (
    ModifiedSince,
    PagedList,
    Paging,
)
from connectors.values.answer_meaning import AnswerRule
from connectors.values.json_responses import JmesPathExpression, as_text

MAX_CURSOR_LENGTH = 4096
# Of a `Link` header: more of it is not read.
_MAX_LINK_LENGTH = 16_384
_MAX_LINKS = 50
_MAX_PARAMETERS = 50
# The values of a page that a query parameter names; the settings of these names say which.
_PARAMETERS = ("start", "page", "cursor", "count")
_PLACEHOLDER_NAMES = tuple(f"page_{letter}" for letter in "abcdefghij")


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
    return _follow_address(client, source.path, request, target)


def find_next_link(header: str) -> str | None:
    """Return the target of the link with the relation `next` of a `Link` header (RFC 8288); None if there is none."""
    rest = header[:_MAX_LINK_LENGTH]
    for _ in range(_MAX_LINKS):
        _, opening, rest = rest.partition("<")
        target, closing, rest = rest.partition(">")
        if not opening or not closing:
            return None
        # The parameters end where the next target begins, but for a quoted `<`.
        parameters, rest = _split_parameters(rest)
        if "next" in _relations(parameters):
            return target.strip()
    return None


def _split_parameters(text: str) -> tuple[list[str], str]:
    """Return the parameters of a link, and what follows the comma after them."""
    parts, start, is_quoted = [], 0, False
    for place, character in enumerate(text):
        if character == '"':
            is_quoted = not is_quoted
        elif not is_quoted and character in ",;":
            parts.append(text[start:place])
            start = place + 1
            if character == ",":
                return parts, text[start:]
    return [*parts, text[start:]], ""


def _relations(parameters: list[str]) -> list[str]:
    """Return the relation types of a link, in lower case. Only the first `rel` counts (RFC 8288, 3.3)."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "rel":
            return value.strip().strip('"').lower().split()
    return []


def _follow_address(
    client: HttpClient, settings_path: str, request: ConnectorRequest, target: str
) -> _Position:
    """Return the position that an address of the system names. Raises UnsafeRequest if it is not below the base URL."""
    base = client.base_url
    try:
        parts = urlsplit(urljoin(f"{base.origin}{base.prefix}{settings_path}", target))
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
        is_below = _is_below(base, parts.scheme, parts.netloc, parts.path)
    except ValueError:
        raise client.unsafe_error(f"{request.label}: the address of the next page cannot be read") from None
    if not is_below or "\\" in target:
        raise client.unsafe_error(f"{request.label}: the address of the next page is not below the base URL")
    path, values = _as_template(client, request, settings_path, parts.path[len(base.prefix) :])
    return _Position(path=path, path_values=values, query=group_pairs(pairs))


def _is_below(base: BaseUrl, scheme: str, host: str, path: str) -> bool:
    default = {"https": 443, "http": 80}[base.scheme]
    own = {base.origin, *([f"{base.origin}:{default}"] if base.port is None else [])}
    if base.port == default:
        own.add(base.origin.removesuffix(f":{default}"))
    return f"{scheme}://{host.lower()}" in own and is_plain_path(path) and path.startswith(f"{base.prefix}/")


def _as_template(
    client: HttpClient, request: ConnectorRequest, settings_path: str, path: str
) -> tuple[str, Mapping[str, str]]:
    """Return a path as a template, and its values: what is not in the settings is not shown in records."""
    known_segments, segments = settings_path.split("/"), path.split("/")
    values: dict[str, str] = {}
    for place, segment in enumerate(segments):
        if place < len(known_segments) and segment == known_segments[place]:
            continue
        if len(values) == len(_PLACEHOLDER_NAMES) or not segment:
            raise client.unreadable_error(request, "the address of the next page has an unexpected form")
        name = _PLACEHOLDER_NAMES[len(values)]
        try:
            values[name] = check_id(segment)
        except ValueError as unsafe:
            raise client.unsafe_error(f"{request.label}: {unsafe}") from None
        segments[place] = f"{{{name}}}"
    return "/".join(segments), values
