"""The filter set of a list: it reads the address of a page, and makes the links and chips on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from console.ui.filters import Filter, FilterChip, FilterParams, TimeFilter, ValueCounts
from console.ui.keyset import KeysetPage, PageLinks, PageRequest
from sync.search.event_filter import EXCLUDED, MAX_WORD_LENGTH, split_values
from sync.search.time_ranges import InvalidFilter, to_absolute_params

ResolvedT = TypeVar("ResolvedT")
# Parameters of every list that are no filters. Django adds the last two.
_PAGE_PARAMS = ("before", "after", "order", "newer", "e", "_changelist_filters")
# The parameter of the form of a chip that names the filter whose ticked values are left out.
_EXCLUDE_PARAM = "exclude"


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
        known = {*self.param_names, *self._local_params, *_PAGE_PARAMS, _EXCLUDE_PARAM}
        return [name for name in query if name not in known]

    def canonical_query(self, query: QueryDict) -> str:
        """Return the query string for what the forms of the chips sent: several values as one parameter, and typed
        local times as UTC instants. Empty if the address has neither.
        """
        typed = {name: self._joined_values(query, name) for name in query}
        typed = self._implied_params(typed) | typed if _EXCLUDE_PARAM in query else typed
        is_local = any(name in query for name in self._local_params)
        if self._time is not None and is_local:
            # Links must mean the same for everybody, so local times become UTC instants.
            return self.build_query(
                to_absolute_params(typed, self._time.name, timezone.get_current_timezone())
            )
        has_several = any(len(query.getlist(name)) > 1 for name in self.param_names)
        return self.build_query(typed) if has_several or _EXCLUDE_PARAM in query else ""

    def _joined_values(self, query: QueryDict, name: str) -> str:
        one = next((one for one in self.filters if one.name == name), None)
        if one is None or not one.takes_several:
            return str(query.get(name, ""))
        values, is_excluded = split_values(",".join(query.getlist(name)))
        is_excluded = is_excluded or query.get(_EXCLUDE_PARAM) == name
        return (EXCLUDED if is_excluded and values else "") + ",".join(values)

    @staticmethod
    def _same_params(implied: Sequence[FilterParams]) -> FilterParams:
        """Return the parameters that all values of a filter imply; none if they imply different ones."""
        return implied[0] if implied and all(params == implied[0] for params in implied) else {}

    def _implied_params(self, typed: FilterParams) -> dict[str, str]:
        """Return what the values of all filters imply. Values that are left out imply nothing."""
        params = dict[str, str]()
        for one in self.filters:
            values, is_excluded = split_values(typed.get(one.name, ""))
            if one.implied is not None and not is_excluded:
                params |= self._same_params([one.implied(value) for value in values])
        return params

    def build_chips(
        self, params: FilterParams, counts: Mapping[str, ValueCounts] | None = None
    ) -> list[FilterChip]:
        """Return the chips of all filters that have one now. `counts`: the rows by value, by the names of filters."""
        ordered = sorted(self.filters, key=lambda one: (one is not self._time, one.options is None))
        chips = (one.build_chip(params, self.build_query, (counts or {}).get(one.name)) for one in ordered)
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

    def page_fields(
        self, page: KeysetPage, counts: Mapping[str, ValueCounts] | None = None
    ) -> dict[str, Any]:
        """Return the fields of `FilteredPage`, without its rows. `counts`: see `FilterSet.build_chips`."""
        query = self.filters.build_query(self.params)
        return {
            "params": self.params,
            "query": query,
            "chips": self.filters.build_chips(self.params, counts),
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
