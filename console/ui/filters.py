"""The filters of a list: each is declared once, and shown as a chip with its value, whose options are plain links."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync.search.event_filter import split_values
from sync.search.time_ranges import format_moment, to_input_value

FilterParams = Mapping[str, str]
BuildQuery = Callable[[FilterParams], str]

PERIOD_LABELS: Mapping[str, object] = {
    "1": gettext_lazy("last hour"),
    "24": gettext_lazy("last 24 hours"),
    "168": gettext_lazy("last 7 days"),
    "720": gettext_lazy("last 30 days"),
}


@dataclass(frozen=True, slots=True)
class ValueCounts:
    """The number of rows by value of one filter. `limit`: a count above it is only known to be larger. `is_complete`:
    no other value occurs. `texts`: of all values, if they were read with the counts.
    """

    counts: Mapping[str, int]
    limit: int
    is_complete: bool = True
    texts: Mapping[str, str] | None = None

    def count_text(self, value: str) -> str:
        """Return the number of rows with a value, or with one of several: `71`, `1,000+`; empty if it is not known."""
        known = [self.counts.get(one) for one in value.split(",")]
        number = sum(count or 0 for count in known)
        if number > self.limit:
            return f"{self.limit:,}+"
        if self.is_complete:
            return f"{number:,}"
        return f"{number:,}+" if number else ""

    def has(self, value: str) -> bool:
        """Return True if rows with this value may exist."""
        return not self.is_complete or any(self.counts.get(one) for one in value.split(","))


@dataclass(frozen=True, slots=True)
class FilterOption:
    """Link to the list with one value of a filter. `count`: of the rows with it, empty if it is not known. `is_ticked`:
    it is among the chosen values, or among those that are left out.
    """

    text: str
    query: str
    is_chosen: bool
    value: str = ""
    count: str = ""
    is_ticked: bool = False


@dataclass(frozen=True, slots=True)
class DateTimeRange:
    """Both ends of a time range as typed in `zone`. `other_params` are the filters that the form keeps."""

    begin: str
    end: str
    zone: str
    other_params: FilterParams


@dataclass(frozen=True, slots=True)
class FilterChip:
    """One filter as shown. `value` is empty if it is not set; `clear_query` is the list without it. `other_params`: the
    filters that a choice of several values keeps; None if only one can be chosen.
    """

    name: str
    label: Any
    value: str
    choices: Sequence[FilterOption]
    clear_query: str
    bounds: DateTimeRange | None = None
    other_params: FilterParams | None = None


@dataclass(frozen=True, slots=True)
class ViewTab:
    """Link to a named view of the list. `key` is set for a view that the person saved."""

    name: str
    query: str
    is_current: bool
    count: str = ""
    key: int | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter by one query parameter. `options` returns (value, text) pairs; an address may list several values.

    Without options only links set it, and it has a chip only while it is set. Without a label it never has one.
    `implied` returns the parameters that an option sets too, unless the address has them. Those of the chosen option
    change with it. `takes_several`: a person may choose several values, or leave them out.
    """

    name: str
    label: Any = ""
    options: Callable[[], Iterable[tuple[str, str]]] | None = None
    implied: Callable[[str], FilterParams] | None = None
    takes_several: bool = False

    @property
    def param_names(self) -> tuple[str, ...]:
        return (self.name,)

    def build_chip(
        self, params: FilterParams, build_query: BuildQuery, counts: ValueCounts | None = None
    ) -> FilterChip | None:
        """Return the chip of this filter; None if it has none now. With `counts`, options that have no row are left
        out.
        """
        chosen = params.get(self.name, "")
        if not self.label or not (chosen or self.options):
            return None
        texts = self._texts_of_values(chosen, counts)
        ticked, is_excluded = split_values(chosen) if self.takes_several else ((chosen,), False)
        options = [
            FilterOption(
                text,
                build_query(self._params_with(params, value)),
                value == chosen,
                value,
                "" if counts is None else counts.count_text(value),
                value in ticked,
            )
            for value, text in texts.items()
            if counts is None or value in ticked or counts.has(value)
        ]
        return FilterChip(
            self.name,
            self.label,
            _value_text(texts, chosen, ticked, is_excluded=is_excluded),
            options,
            build_query({**params, self.name: ""}),
            other_params=self.params_without(params) if self.takes_several else None,
        )

    def _texts_of_values(self, chosen: str, counts: ValueCounts | None) -> Mapping[str, str]:
        if counts is not None and counts.texts is not None:
            return counts.texts
        return dict(self.options() if self.options else [(chosen, chosen)])

    def params_without(self, params: FilterParams) -> dict[str, str]:
        """Return the parameters without this filter, and without what its chosen value implied."""
        implied = self.implied(params.get(self.name, "")) if self.implied else {}
        return {
            name: value for name, value in params.items() if name != self.name and implied.get(name) != value
        }

    def _params_with(self, params: FilterParams, value: str) -> FilterParams:
        """Return the parameters with another value of this filter, and what that implies."""
        if self.implied is None:
            return {**params, self.name: value}
        return {**self.implied(value), **self.params_without(params), self.name: value}


def _value_text(texts: FilterParams, chosen: str, values: Sequence[str], *, is_excluded: bool) -> str:
    """Return the chosen values as text. A value without a text stays as it is."""
    text = texts.get(chosen) or ", ".join(
        texts.get(value, value) for listed in values for value in listed.split(",")
    )
    return _("not %(values)s") % {"values": text} if is_excluded else text


@dataclass(frozen=True, slots=True)
class TimeFilter(Filter):
    """A filter by time: a period that ends now (`<name>`), or a range (`<name>_from`, `<name>_to`)."""

    @property
    def param_names(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}_from", f"{self.name}_to")

    @property
    def local_params(self) -> tuple[str, ...]:
        """Return the parameters of the form, whose times are in the zone of the person."""
        return tuple(f"{name}_local" for name in self.param_names[1:])

    def build_chip(
        self, params: FilterParams, build_query: BuildQuery, counts: ValueCounts | None = None
    ) -> FilterChip:
        zone = timezone.get_current_timezone()
        chosen, begin, end = (params.get(name, "") for name in self.param_names)
        # A period and a range exclude each other: setting one clears the other.
        others = {name: value for name, value in params.items() if name not in self.param_names}
        texts = {hours: str(text).capitalize() for hours, text in PERIOD_LABELS.items()}
        bounds = {name: params[name] for name in self.param_names[1:] if params.get(name)}
        return FilterChip(
            self.name,
            self.label,
            texts.get(chosen) or _label_range(format_moment(begin, zone), format_moment(end, zone)),
            _link_options(texts, chosen, lambda hours: build_query({**others, self.name: hours})),
            build_query(others),
            DateTimeRange(to_input_value(begin, zone), to_input_value(end, zone), str(zone), others | bounds),
        )


def _link_options(texts: FilterParams, chosen: str, query_with: Callable[[str], str]) -> list[FilterOption]:
    return [FilterOption(text, query_with(value), value == chosen) for value, text in texts.items()]


def _label_range(begin: str, end: str) -> str:
    if begin and end:
        return f"{begin} – {end}"
    if begin:
        return _("from %(time)s") % {"time": begin}
    return _("before %(time)s") % {"time": end} if end else ""
