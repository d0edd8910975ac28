"""Filters of a list as chips: each shows its value, and each option is a plain link."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync.search.time_ranges import format_moment, to_absolute_params, to_input_value

FilterParams = Mapping[str, str]

PERIOD_LABELS: Mapping[str, object] = {
    "1": gettext_lazy("last hour"),
    "24": gettext_lazy("last 24 hours"),
    "168": gettext_lazy("last 7 days"),
    "720": gettext_lazy("last 30 days"),
}


@dataclass(frozen=True, slots=True)
class FilterOption:
    """Link to the list with one value of a filter."""

    text: str
    query: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class DateTimeRange:
    """Both ends of a time range as typed in `zone`. `other_params` are the filters that the form keeps."""

    begin: str
    end: str
    zone: str
    other_params: FilterParams


@dataclass(frozen=True, slots=True)
class FilterChip:
    """One filter as shown. `value` is empty if it is not set; `clear_query` is the list without it."""

    name: str
    label: str
    value: str
    choices: Sequence[FilterOption]
    clear_query: str
    bounds: DateTimeRange | None = None


@dataclass(frozen=True, slots=True)
class ViewTab:
    """Link to a named view of the list. `key` is set for a view that the person saved."""

    name: str
    query: str
    is_current: bool
    count: str = ""
    key: int | None = None


@dataclass(frozen=True, slots=True)
class FilterBar:
    """The filters of one list: parameter names in the order of the address, and the name of the time filter."""

    param_names: Sequence[str]
    time_param: str

    def build_query(self, params: FilterParams) -> str:
        """Return the query string of the list with these filters, at its first page."""
        return "?" + urlencode([(name, params[name]) for name in self.param_names if params.get(name)])

    def read_params(self, query: QueryDict) -> dict[str, str]:
        """Return the filters in a query string that have a value, by name."""
        return {name: value for name in self.param_names if (value := query.get(name, "").strip())}

    def unknown_params(self, query: QueryDict, *known: str) -> list[str]:
        """Return the parameters that neither this list nor `known` has. Pages remove and name them."""
        return [name for name in query if name not in (*self.param_names, *self._local_time_params(), *known)]

    def absolute_url(self, query: QueryDict) -> str:
        """Return the query string with typed local times as UTC instants; empty if none were typed."""
        if not any(name in query for name in self._local_time_params()):
            return ""
        # Links must mean the same for everybody, so local times become UTC instants.
        params = {name: query.get(name, "") for name in query}
        return self.build_query(to_absolute_params(params, self.time_param, timezone.get_current_timezone()))

    def _local_time_params(self) -> tuple[str, str]:
        return f"{self.time_param}_from_local", f"{self.time_param}_to_local"

    def value_chip(
        self, params: FilterParams, name: str, label: str, values: Iterable[tuple[str, str]]
    ) -> FilterChip:
        """Build the chip of a filter with these (value, text) options. An address may select several values."""
        # Read twice below, and `values` may be an iterator.
        chosen, values = params.get(name, ""), list(values)
        choices = [
            FilterOption(text, self.build_query({**params, name: value}), value == chosen)
            for value, text in values
        ]
        chosen_text = next((option.text for option in choices if option.is_chosen), "")
        return FilterChip(
            name,
            label,
            chosen_text or _label_values(chosen, values),
            choices,
            self.build_query({**params, name: ""}),
        )

    def time_chip(self, params: FilterParams, label: str) -> FilterChip:
        """Build the chip of the time filter: a period, or a range between two times."""
        first, last, zone = (
            f"{self.time_param}_from",
            f"{self.time_param}_to",
            timezone.get_current_timezone(),
        )
        # A period and a range exclude each other: setting one clears the other.
        plain = {name: value for name, value in params.items() if name not in (self.time_param, first, last)}
        chosen = params.get(self.time_param, "")
        choices = [
            FilterOption(
                str(text).capitalize(), self.build_query({**plain, self.time_param: hours}), hours == chosen
            )
            for hours, text in PERIOD_LABELS.items()
        ]
        begin, end = params.get(first, ""), params.get(last, "")
        chosen_text = next((option.text for option in choices if option.is_chosen), "")
        bounds = {name: params[name] for name in (first, last) if params.get(name)}
        return FilterChip(
            self.time_param,
            label,
            chosen_text or _label_range(format_moment(begin, zone), format_moment(end, zone)),
            choices,
            self.build_query(plain),
            DateTimeRange(to_input_value(begin, zone), to_input_value(end, zone), str(zone), plain | bounds),
        )


def _label_values(chosen: str, values: Iterable[tuple[str, str]]) -> str:
    """Return the texts of comma-separated values; a value without a text stays as it is."""
    texts = dict(values)
    return ", ".join(texts.get(value, value) for value in chosen.split(","))


def _label_range(begin: str, end: str) -> str:
    if begin and end:
        return f"{begin} – {end}"
    if begin:
        return _("from %(time)s") % {"time": begin}
    return _("before %(time)s") % {"time": end} if end else ""
