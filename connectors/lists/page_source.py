"""A list of a connection, and the requests for its pages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, Protocol, Self, TypeVar

from connectors.client.connector_request import ConnectorRequest
from connectors.client.http_client import HttpClient
from connectors.lists.list_position import ListPosition
from connectors.lists.next_address import follow_address
from connectors.settings.page_style import ModifiedSince, Paging
from connectors.values.json_responses import JmesPathExpression

# The values of a page that a query parameter names; the settings of these names say which.
_PARAMETERS = ("start", "page", "cursor", "count")


class ListItem(Protocol):
    """An item of a list."""

    @property
    def id(self) -> str:
        """The id of the item in its system."""


Item = TypeVar("Item", bound=ListItem)


@dataclass(frozen=True, slots=True)
class PageSource(Generic[Item]):
    """A list, and how its pages are requested and read.

    `make_request` returns the request for a page from the values that select it: `start`, `page`, `cursor`, `count`,
    `modified_since`. A value that does not apply is None. The request already contains the values named in
    `in_request`; the others become query parameters. `path` is the path in the settings. `results` selects the items,
    and `parse_item` reads one of them.
    """

    paging: Paging
    path: str
    results: JmesPathExpression
    make_request: Callable[[Mapping[str, Any]], ConnectorRequest]
    parse_item: Callable[[ConnectorRequest, Any], Item]
    in_request: frozenset[str] = frozenset()
    modified_since: ModifiedSince | None = None

    def with_size(self, size: int) -> Self:
        """Return the list with pages of `size` items."""
        return replace(self, paging=replace(self.paging, size=size))

    @property
    def is_counted(self) -> bool:
        """True if the hub counts where the next page is; otherwise the system names it."""
        return self.paging.is_counted


def make_page_request(
    client: HttpClient, source: PageSource[Item], position: ListPosition | None, since: datetime | None
) -> ConnectorRequest:
    """Return the request for the page at a position, the first one if it is None. `since`: only items that were changed
    since this time. Raises UnsafeRequest for an address elsewhere, and SettingOverBudget.
    """
    paging, limit = source.paging, source.modified_since
    if paging.style is None:
        return source.make_request({})
    values = {**_page_values(paging, position), "count": paging.size}
    if since is not None and limit is not None:
        values["modified_since"] = limit.write_time(since)
    request = source.make_request(values)
    if position is not None and paging.names_address:
        # An address of the system: it has all parameters already.
        address = follow_address(client, source.path, request, f"{client.base_url.prefix}{position.at}")
        return replace(
            request, path_template=address.path, path_values=address.path_values, query=address.query
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


def _page_values(paging: Paging, position: ListPosition | None) -> dict[str, Any]:
    """Return the values that select a page."""
    at = None if position is None else position.at
    if paging.style == "offset":
        return {"start": paging.first if at is None else at}
    if paging.style == "page":
        return {"page": paging.first_page if at is None else at}
    return {"cursor": at} if paging.style == "cursor" else {}


def _parameter(settings: Paging, name: str) -> str:
    """Return the query parameter for a value; an empty text if there is none."""
    return (getattr(settings, name) or "") if name in _PARAMETERS else ""
