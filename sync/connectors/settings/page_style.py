"""Settings of a list that comes in pages: what is requested, and how the next page is found. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from config_schema.kinds import Choice, Text, WholeNumber
from config_schema.objects import Object, ObjectRule
from config_schema.settings import Setting, SettingValues, defaulted, optional, required
from config_schema.translatable import translatable
from sync.connectors.http.placeholders import fill_template
from sync.connectors.http.query_parameters import Query, QueryValue, change_values
from sync.connectors.settings.body_template import BodyTemplate, ObjectBody
from sync.connectors.settings.setting_kinds import Expression, Headers, PathTemplate, QueryParameters
from sync.connectors.values.json_responses import JmesPathExpression

MAX_PAGE_SIZE = 1000
# Styles whose next page the system names by an address.
ADDRESS_STYLES = ("link", "next_url")
STYLES = ("offset", "page", "cursor", "link", "next_url")
PAGE_VALUES = ("start", "page", "count", "cursor", "modified_since")
_TIME_FORMATS = ("rfc3339", "seconds", "milliseconds")


@dataclass(frozen=True, slots=True)
class ModifiedSince:
    """Query parameters that ask for the items that changed since a time, and the format of that time.

    Values of `query` contain `{time}`.
    """

    query: Query
    time_format: str

    def fill_query(self, since: datetime) -> dict[str, QueryValue]:
        """Return the query parameters for a time."""
        return change_values(self.query, lambda text: fill_template(text, {"time": self.write_time(since)}))

    def write_time(self, since: datetime) -> str:
        """Return a time as the system reads it."""
        if self.time_format == "rfc3339":
            return since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        seconds = since.timestamp()
        return str(int(seconds if self.time_format == "seconds" else seconds * 1000))


@dataclass(frozen=True, slots=True)
class Paging:
    """The style in which a list is paged.

    `style` says how the next page is found: by the number of items before it (`offset`), by its number (`page`), by a
    text of the response (`cursor`), by the header `Link` (`link`, RFC 8288), or by an address in the response
    (`next_url`). `next_expression` selects that text or address. With `none` there is one page, and no parameter is
    sent. `total_expression` selects the number of items on all pages together.
    """

    style: str
    offset_parameter: str
    first_offset: int
    page_parameter: str
    first_page: int
    cursor_parameter: str
    count_parameter: str | None
    page_size: int
    total_expression: JmesPathExpression | None
    next_expression: JmesPathExpression | None


@dataclass(frozen=True, slots=True)
class PagedList:
    """Settings of a list that comes in pages. The parameters are in the query, or in what `body` makes of
    them. `results_expression` selects the list of items.
    """

    method: str
    path: str
    query: Query
    headers: Mapping[str, str]
    body: BodyTemplate | None
    results_expression: JmesPathExpression
    paging: Paging
    modified_since: ModifiedSince | None


LIST_METHOD = defaulted(
    "method", Choice(("GET", "POST")), "GET", "The method of the request for a page.", example="POST"
)
LIST_PATH = required("path", PathTemplate(), "The path of the list.", example="/api/users")
LIST_QUERY = defaulted(
    "query",
    QueryParameters(),
    {},
    "Further query parameters of each page. A list of texts repeats the parameter.",
    example={"sort": "id"},
)
LIST_HEADERS = defaulted(
    "headers", Headers(), {}, "Further headers of the request for a page.", example={"Prefer": "minimal"}
)
LIST_BODY = optional(
    "body",
    ObjectBody(PAGE_VALUES, nullable=("cursor", "modified_since")),
    'The body of the request for a page, with the method `POST`. In it, an object `{"expression": …}` stands for the '
    "result of a JMESPath expression over `start`, `page`, `count`, `cursor` (null for the first page) and "
    '`modified_since` (null for a complete list), and `{"template": …}` for a text with placeholders; paging '
    'values used here are not sent in the query. With `"optional": true` an expression is omitted if its result is '
    "null.",
    example={"startIndex": {"expression": "start"}, "count": {"expression": "count"}},
)
STYLE = defaulted(
    "paging",
    Choice(STYLES),
    "offset",
    "How the next page is found: by the number of items before it (`offset`), by its number (`page`), by a "
    "text in the response (`cursor`), by the header `Link` with the relation `next` (`link`, RFC 8288), or "
    "by an address in the response (`next_url`). An address that does not begin with the base URL ends the "
    "list with an error.",
    example="cursor",
)
OPTIONAL_STYLE = optional(
    "paging",
    Choice(STYLES),
    translatable(
        "%(meaning)s Without it, the list is one request, to which no parameter is added.",
        meaning=translatable(STYLE.meaning),
    ),
    example="cursor",
)
START = defaulted(
    "start",
    Text(),
    "startIndex",
    "With `offset`: the query parameter that says how many items come before the page.",
    example="startIndex",
)
FIRST = defaulted(
    "first",
    WholeNumber(0, 1),
    0,
    "With `offset`: the value of `start` for the first page: 1 for SCIM.",
    example=1,
)
PAGE = defaulted(
    "page", Text(), "page", "With `page`: the query parameter that has the number of the page.", example="p"
)
FIRST_PAGE = defaulted(
    "first_page", WholeNumber(0, 1), 1, "With `page`: the number of the first page.", example=0
)
CURSOR = defaulted(
    "cursor",
    Text(),
    "cursor",
    "With `cursor`: the query parameter that has the cursor of the page. The first page has none.",
    example="page_token",
)
NEXT = optional(
    "next",
    Expression(),
    "With `cursor` and `next_url`: where the cursor, or the address, of the next page is in a response. The "
    "last page has none, or an empty one.",
    example="paging.next.after",
)
COUNT = optional(
    "count",
    Text(),
    "The query parameter that says how many items to return. Null: it is not sent. Without it: `count`.",
    example="limit",
)
SIZE = defaulted(
    "size", WholeNumber(1, MAX_PAGE_SIZE), 100, "The number of items to ask for in one page.", example=100
)
RESULTS = defaulted("results", Expression(), "@", "Where the list is in a response.", example="Resources")
TOTAL = optional(
    "total",
    Expression(),
    "With `offset` and `page`: where the total number of items on all pages is in a response. Without it, "
    "the first page without new items is the last.",
    example="totalResults",
)


_SINCE_QUERY = required(
    "query",
    QueryParameters(frozenset({"time"}), frozenset({"time"})),
    "The query parameters, with `{time}` in place of the time.",
    example={"filter": 'meta.lastModified gt "{time}"'},
)
_SINCE_FORMAT = defaulted(
    "format",
    Choice(_TIME_FORMATS),
    "rfc3339",
    "How the time is written: as RFC 3339 in UTC, or as seconds or milliseconds since 1970.",
    example="seconds",
)
MODIFIED_SINCE = optional(
    "modified_since",
    Object(
        (_SINCE_QUERY, _SINCE_FORMAT),
        lambda values: ModifiedSince(values[_SINCE_QUERY], values[_SINCE_FORMAT]),
    ),
    "How the list is limited to items that changed since a time, if the system supports it.",
    example={"query": {"updated_after": "{time}"}},
)

# Settings of every list, in addition to the paging style and the request for a page.
_PAGE_SETTINGS = (START, FIRST, PAGE, FIRST_PAGE, CURSOR, NEXT, COUNT, SIZE, TOTAL)
# Of the lists of a target: without `paging`, one request is all.
OPTIONAL_PAGING = (OPTIONAL_STYLE, *_PAGE_SETTINGS)
LIST_SETTINGS = (
    LIST_METHOD,
    LIST_PATH,
    LIST_QUERY,
    LIST_HEADERS,
    LIST_BODY,
    RESULTS,
    STYLE,
    *_PAGE_SETTINGS,
    MODIFIED_SINCE,
)
PAGING_RULES = (
    ObjectRule(
        "`cursor` and `next_url` need `next`.",
        {
            "if": {"properties": {"paging": {"enum": ["cursor", "next_url"]}}, "required": ["paging"]},
            "then": {"required": ["next"], "properties": {"next": {"type": "string"}}},
        },
    ),
    ObjectRule(
        "With `link` and `next_url`, the method is `GET`.",
        {
            "if": {"properties": {"paging": {"enum": ["link", "next_url"]}}, "required": ["paging"]},
            "then": {"properties": {"method": {"const": "GET"}}},
        },
    ),
)
LIST_RULES = (
    *PAGING_RULES,
    ObjectRule(
        "`body` needs the method `POST`.",
        {
            "if": {"required": ["body"], "properties": {"body": {"type": "object"}}},
            "then": {"required": ["method"], "properties": {"method": {"const": "POST"}}},
        },
    ),
)


def read_paged_list(values: SettingValues) -> PagedList:
    """Return the settings of a list. Raises SettingsInvalid."""
    if values[LIST_BODY] is not None and values[LIST_METHOD] != "POST":
        values.reject(LIST_BODY, "A body needs the method POST.")
    paging = read_paging(values, STYLE)
    if paging.style in ADDRESS_STYLES and values[LIST_METHOD] != "GET":
        values.reject(
            LIST_METHOD, translatable("With “paging”: “%(style)s”, the method is GET.", style=paging.style)
        )
    return PagedList(
        method=values[LIST_METHOD],
        path=values[LIST_PATH],
        query=values[LIST_QUERY],
        headers=values[LIST_HEADERS],
        body=values[LIST_BODY],
        results_expression=values[RESULTS],
        paging=paging,
        modified_since=values[MODIFIED_SINCE],
    )


def read_paging(values: SettingValues, style_setting: Setting[Any]) -> Paging:
    """Return how pages are found. Raises SettingsInvalid."""
    style = values[style_setting] or "none"
    if style in ("cursor", "next_url") and values[NEXT] is None:
        values.reject(NEXT, translatable("This is required with “paging”: “%(style)s”.", style=style))
    return Paging(
        style=style,
        offset_parameter=values[START],
        first_offset=values[FIRST],
        page_parameter=values[PAGE],
        first_page=values[FIRST_PAGE],
        cursor_parameter=values[CURSOR],
        count_parameter=values[COUNT] if values.is_given(COUNT) else "count",
        page_size=values[SIZE],
        total_expression=values[TOTAL],
        next_expression=values[NEXT],
    )


def paging_to_json(paging: Paging) -> dict[str, Any]:
    """Return how pages are found as it is written in settings, without what its style does not use."""
    own: dict[str, dict[str, Any]] = {
        "none": {},
        "offset": {"start": paging.offset_parameter, "first": paging.first_offset},
        "page": {"page": paging.page_parameter, "first_page": paging.first_page},
        "cursor": {"cursor": paging.cursor_parameter},
        "link": {},
        "next_url": {},
    }
    if paging.style == "none":
        return {}
    selected = {"next": paging.next_expression, "total": paging.total_expression}
    return {
        "paging": paging.style,
        **own[paging.style],
        **{name: expression.text for name, expression in selected.items() if expression is not None},
        "count": paging.count_parameter,
        "size": paging.page_size,
    }


def values_in_body(settings: PagedList) -> frozenset[str]:
    """Return the values of a page that the body of a list uses."""
    return frozenset(name for name in PAGE_VALUES if settings.body is not None and settings.body.uses(name))
