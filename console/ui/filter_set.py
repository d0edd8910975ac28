"""The filter set of a list: it reads the address of a page, and makes the links and chips on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from console.ui.filters import Filter, FilterChip, FilterParams, TimeFilter
from console.ui.keyset import KeysetPage, PageLinks, PageRequest
from sync.search.event_filter import MAX_WORD_LENGTH
from sync.search.time_ranges import InvalidFilter, to_absolute_params

ResolvedT = TypeVar("ResolvedT")
# Parameters of every list that are no filters. Django adds the last two.
_PAGE_PARAMS = ("before", "after", "order", "newer", "e", "_changelist_filters")


@dataclass(frozen=True, slots=True)
class FilterSet(Generic[ResolvedT]):
    """The filters of one list, in the order of its addresses. Chips begin with the time, then those with options.

    `resolve` turns parameters into a filter with a fixed meaning at a moment; it raises InvalidFilter.
    """

    filters: Sequence[Filter]
    resolve: Callable[[FilterParams, datetime], ResolvedT]

    @property
    def param_names(self) -> tuple[str, ...]:
        return tuple(name for one in self.filters for name in one.param_names)

    @property
    def _time(self) -> TimeFilter | None:
        return next((one for one in self.filters if isinstance(one, TimeFilter)), None)

    @property
    def _local_params(self) -> tuple[str, ...]:
        return () if self._time is None else self._time.local_params

    def build_query(self, params: FilterParams) -> str:
        """Return the query string of the list with these filters, at its first page."""
        return "?" + urlencode([(name, params[name]) for name in self.param_names if params.get(name)])

    def read_params(self, query: FilterParams) -> dict[str, str]:
        """Return the filters in a query string that have a value, by name."""
        return {name: value for name in self.param_names if (value := query.get(name, "").strip())}

    def unknown_params(self, query: QueryDict) -> list[str]:
        """Return the parameters that the list does not know. Pages remove and name them."""
        known = {*self.param_names, *self._local_params, *_PAGE_PARAMS}
        return [name for name in query if name not in known]

    def absolute_url(self, query: QueryDict) -> str:
        """Return the query string with typed local times as UTC instants; empty if none were typed."""
        if self._time is None or not any(name in query for name in self._local_params):
            return ""
        # Links must mean the same for everybody, so local times become UTC instants.
        typed, zone = {name: query.get(name, "") for name in query}, timezone.get_current_timezone()
        return self.build_query(to_absolute_params(typed, self._time.name, zone))

    def build_chips(self, params: FilterParams) -> list[FilterChip]:
        """Return the chips of all filters that have one now."""
        ordered = sorted(self.filters, key=lambda one: (one is not self._time, one.options is None))
        chips = (one.build_chip(params, self.build_query) for one in ordered)
        return [chip for chip in chips if chip is not None]

    def resolve_query(self, query: QueryDict) -> ResolvedT:
        """Resolve the filters of an address now. Raises InvalidFilter, also for a parameter that is not known."""
        if unknown := self.unknown_params(query):
            raise InvalidFilter(f"{unknown[0][:40]} is not a filter of this list")
        return self._resolve_now(self.read_params(query))

    def read_request(self, query: QueryDict) -> "ListRequest[ResolvedT]":
        """Read what an address asks for. Filters or a position that cannot be used give a message and everything."""
        params = self.read_params(query)
        try:
            return ListRequest(self, params, self._resolve_now(params), PageRequest.from_query(query))
        except InvalidFilter:
            problem = _("The filters in this address are invalid. Showing everything.")
            return ListRequest(self, {}, self._resolve_now({}), PageRequest(), problem)

    def _resolve_now(self, params: FilterParams) -> ResolvedT:
        # PostgreSQL refuses a text with a NUL character.
        if any("\0" in value or len(value) > MAX_WORD_LENGTH for value in params.values()):
            raise InvalidFilter("a value that is too long, or that no database can store")
        return self.resolve(params, timezone.now())


@dataclass(frozen=True, slots=True)
class ListRequest(Generic[ResolvedT]):
    """A page of a list as an address asks for it: its filters, as given and resolved, and its position."""

    filters: FilterSet[ResolvedT]
    params: FilterParams
    resolved: ResolvedT
    page_request: PageRequest
    problem: str = ""

    def page_fields(self, page: KeysetPage) -> dict[str, Any]:
        """Return the fields of `FilteredPage`, without its rows."""
        query = self.filters.build_query(self.params)
        return {
            "params": self.params,
            "query": query,
            "chips": self.filters.build_chips(self.params),
            "page_links": PageLinks.for_page(query, page, self.page_request),
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredPage:
    """The content of a page of a list. `problem`: why its filters are not used."""

    params: FilterParams
    query: str
    chips: Sequence[FilterChip]
    page_links: PageLinks
    rows: Sequence[Any]
    problem: str

    @property
    def is_filtered(self) -> bool:
        return bool(self.params)
