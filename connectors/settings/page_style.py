"""Settings of a list that comes in pages: what is requested, and how the next page is found. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from config_schema.declared import Declared, nullable, setting
from config_schema.kinds import Boolean, Choice, Text, WholeNumber
from config_schema.rules import Given, Is, Requires, Rule
from connectors.contracts.types import ListFacts
from connectors.http.placeholders import fill_template
from connectors.http.query_parameters import Query, QueryValue, change_values
from connectors.settings.body_template import BodyTemplate, ObjectBody
from connectors.settings.expression_documents import PAGE_VALUES, expression_rule
from connectors.settings.setting_kinds import Expression, Headers, PathTemplate, QueryParameters
from connectors.values.json_responses import JmesPathExpression

MAX_PAGE_SIZE = 1000
# Styles whose next page the system names by an address.
ADDRESS_STYLES = ("link", "next_url")
STYLES = ("offset", "page", "cursor", *ADDRESS_STYLES)
# Styles whose next page the hub itself counts.
_COUNTED_STYLES = ("offset", "page")
_STYLE_MEANING = (
    "How the next page is found: by the number of items before it (`offset`), by its number (`page`), by a text in the "
    "response (`cursor`), by the header `Link` with the relation `next` (`link`, RFC 8288), or by an address in the "
    "response (`next_url`). An address that does not begin with the base URL ends the list with an error."
)

NULL_ITEMS = (
    "A null in it is no item, but counts for the place of the next page: so an expression can leave out items that "
    "count as deleted, such as ``map(&(status != 'archived' && @ || `null`), members)``."
)


class ModifiedSince(Declared):
    """Query parameters that ask for the items that changed since a time."""

    query: Query = setting(
        QueryParameters(frozenset({"time"}), frozenset({"time"})),
        "The query parameters, with `{time}` in place of the time.",
        example={"filter": 'meta.lastModified gt "{time}"'},
    )
    format: str = setting(
        Choice(("rfc3339", "seconds", "milliseconds")),
        "How the time is written: as RFC 3339 in UTC, or as seconds or milliseconds since 1970.",
        default="rfc3339",
        example="seconds",
    )

    def fill_query(self, since: datetime) -> dict[str, QueryValue]:
        """Return the query parameters for a time."""
        return change_values(self.query, lambda text: fill_template(text, {"time": self.write_time(since)}))

    def write_time(self, since: datetime) -> str:
        """Return a time as the system reads it."""
        if self.format == "rfc3339":
            return since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        seconds = since.timestamp()
        return str(int(seconds if self.format == "seconds" else seconds * 1000))


class Paging(Declared):
    """How the pages of a list are found, and what they have. Without a style there is one page, and no parameter is
    sent.
    """

    style: str | None = nullable(
        Choice(STYLES),
        f"{_STYLE_MEANING} Without it, the list is one request, to which no parameter is added.",
        name="paging",
        example="cursor",
    )
    start: str = setting(
        Text(),
        "With `offset`: the query parameter that says how many items come before the page.",
        default="startIndex",
        example="startIndex",
    )
    first: int = setting(
        WholeNumber(0, 1),
        "With `offset`: the value of `start` for the first page: 1 for SCIM.",
        default=0,
        example=1,
    )
    page: str = setting(
        Text(),
        "With `page`: the query parameter that has the number of the page.",
        default="page",
        example="p",
    )
    first_page: int = setting(
        WholeNumber(0, 1), "With `page`: the number of the first page.", default=1, example=0
    )
    cursor: str = setting(
        Text(),
        "With `cursor`: the query parameter that has the cursor of the page. The first page has none.",
        default="cursor",
        example="page_token",
    )
    next: JmesPathExpression | None = nullable(
        Expression(),
        "With `cursor` and `next_url`: where the cursor, or the address, of the next page is in a response. The "
        "last page has none: null, false or an empty text.",
        example="paging.next.after",
    )
    count: str | None = setting(
        Text(),
        "The query parameter that says how many items to return. Null: it is not sent. Without it: `count`.",
        default="count",
        is_nullable=True,
        example="limit",
    )
    size: int = setting(
        WholeNumber(1, MAX_PAGE_SIZE), "The number of items to ask for in one page.", default=100, example=100
    )
    total: JmesPathExpression | None = nullable(
        Expression(),
        "Where the total number of items on all pages is in a response. With `offset` and `page`, the list ends when "
        "so many were received; without it, the first page without new items is the last.",
        example="totalResults",
    )
    is_complete: bool = setting(
        Boolean(),
        "True if the list returns every item of this type: page by page with `paging`, or all of them in its one "
        "request. Otherwise it is a sample, and a comparison cannot say which items are missing from it.",
        name="complete",
        default=False,
        example=True,
    )
    has_whole_items: bool = setting(
        Boolean(),
        "False if the items of the list have fewer fields than the response to the request for one item. A comparison "
        "then reads each item by its own path.",
        name="whole_items",
        default=True,
        example=False,
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(
            sentence="`cursor` and `next_url` need `next`.",
            when=Is("paging", "cursor", "next_url"),
            then=Given("next"),
            at="next",
        ),
    )

    @property
    def names_address(self) -> bool:
        """True if the system names the next page by its address."""
        return self.style in ADDRESS_STYLES

    @property
    def is_counted(self) -> bool:
        """True if the hub counts where the next page is; otherwise the system names it."""
        return self.style in _COUNTED_STYLES

    @property
    def facts(self) -> ListFacts:
        """Return what callers of a connector need to know of the list."""
        return ListFacts(self.is_complete, self.has_whole_items, self.is_counted, self.size)


def address_rule(at: str) -> Requires:
    """Return the rule that pages with an address are requested by GET. `at`: the setting that an error is about."""
    return Requires(
        sentence="With `link` and `next_url`, the method is `GET`.",
        when=Is("paging", *ADDRESS_STYLES),
        then=Is("method", "GET"),
        at=at,
    )


BODY_RULE = Requires(
    sentence="`body` needs the method `POST`.",
    when=Given("body"),
    then=Is("method", "POST"),
    at="body",
)


class PagedList(Paging):
    """A list that comes in pages. The parameters are in the query, or in what `body` makes of them."""

    method: str = setting(
        Choice(("GET", "POST")), "The method of the request for a page.", default="GET", example="POST"
    )
    path: str = setting(PathTemplate(), "The path of the list.", example="/api/users")
    query: Query = setting(
        QueryParameters(),
        "Further query parameters of each page. A list of texts repeats the parameter.",
        default={},
        example={"sort": "id"},
    )
    headers: Mapping[str, str] = setting(
        Headers(), "Further headers of the request for a page.", default={}, example={"Prefer": "minimal"}
    )
    body: BodyTemplate | None = nullable(
        ObjectBody(PAGE_VALUES, nullable=("cursor", "modified_since")),
        'The body of the request for a page, with the method `POST`. In it, an object `{"expression": …}` stands for '
        "the result of a JMESPath expression over `start`, `page`, `count`, `cursor` (null for the first page) and "
        '`modified_since` (null for a complete list), and `{"template": …}` for a text with placeholders; paging '
        'values used here are not sent in the query. With `"optional": true` an expression is omitted if its result is '
        "null.",
        example={"startIndex": {"expression": "start"}, "count": {"expression": "count"}},
    )
    results: JmesPathExpression = setting(
        Expression(),
        f"Where the list is in a response. {NULL_ITEMS}",
        default="@",
        example="Resources",
    )
    style: str = setting(Choice(STYLES), _STYLE_MEANING, name="paging", default="offset", example="cursor")
    modified_since: ModifiedSince | None = nullable(
        ModifiedSince.kind,
        "How the list is limited to items that changed since a time, if the system supports it.",
        example={"query": {"updated_after": "{time}"}},
    )

    rules = (*Paging.rules, address_rule("method"), BODY_RULE, expression_rule("list", "body"))

    @property
    def values_in_body(self) -> frozenset[str]:
        """Return the values of a page that the body uses."""
        return frozenset(name for name in PAGE_VALUES if self.body is not None and self.body.uses(name))
