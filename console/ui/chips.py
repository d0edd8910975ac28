"""The filters of a list as chips: each says its value, and every choice is a plain link. The parts of all lists."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from sync.search.periods import absolute, told_of, typed_of

Words = Mapping[str, str]

PERIOD_LABELS = {"1": "last hour", "24": "last 24 hours", "168": "last 7 days", "720": "last 30 days"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a filter, as a link."""

    text: str
    query: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """The two times of a span as they are typed, in `zone`; `others` are the words that stay with them."""

    begin: str
    end: str
    zone: str
    others: Words


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter. `value` is empty where it is not set; `without` is the list without it."""

    name: str
    label: str
    value: str
    choices: Sequence[Choice]
    without: str
    bounds: Bounds | None = None


@dataclass(frozen=True, slots=True)
class Tab:
    """A view of the list under a name. `key` of one's own that was saved."""

    name: str
    query: str
    is_current: bool
    count: str = ""
    key: int | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """The filters of one list: their names in the order of an address, and which of them is a span of time."""

    names: Sequence[str]
    time: str

    def query(self, words: Words) -> str:
        """The address of the list: its filters, without a place in it."""
        return "?" + urlencode([(name, words[name]) for name in self.names if words.get(name)])

    def asked(self, query: QueryDict) -> dict[str, str]:
        """The filters of an address."""
        return {name: value for name in self.names if (value := query.get(name, "").strip())}

    def unknown(self, query: QueryDict, *known: str) -> list[str]:
        """Parameters that mean nothing here: an address that asks for something else is not half obeyed."""
        return [name for name in query if name not in (*self.names, *self._typed(), *known)]

    def retold(self, query: QueryDict) -> str:
        """Where times of the person's zone were typed, the address that says the moments; else empty."""
        if not any(name in query for name in self._typed()):
            return ""
        said = {name: query.get(name, "") for name in query}
        return self.query(absolute(said, self.time, timezone.get_current_timezone()))

    def _typed(self) -> tuple[str, str]:
        return f"{self.time}_from_local", f"{self.time}_to_local"

    def chip(self, words: Words, name: str, label: str, values: Iterable[tuple[str, str]]) -> Chip:
        """A filter that has one of these values (value, text); an address may ask for several at once."""
        chosen, values = words.get(name, ""), list(values)
        choices = [
            Choice(text, self.query({**words, name: value}), value == chosen) for value, text in values
        ]
        shown = next((each.text for each in choices if each.is_chosen), "")
        return Chip(name, label, shown or _several(chosen, values), choices, self.query({**words, name: ""}))

    def span(self, words: Words, label: str) -> Chip:
        """The span of time: a period, or from one time to another."""
        first, last, zone = f"{self.time}_from", f"{self.time}_to", timezone.get_current_timezone()
        plain = {name: value for name, value in words.items() if name not in (self.time, first, last)}
        chosen = words.get(self.time, "")
        choices = [
            Choice(text.capitalize(), self.query({**plain, self.time: hours}), hours == chosen)
            for hours, text in PERIOD_LABELS.items()
        ]
        begin, end = words.get(first, ""), words.get(last, "")
        shown = next((each.text for each in choices if each.is_chosen), "")
        stood = {name: words[name] for name in (first, last) if words.get(name)}
        return Chip(
            self.time,
            label,
            shown or _between(told_of(begin, zone), told_of(end, zone)),
            choices,
            self.query(plain),
            Bounds(typed_of(begin, zone), typed_of(end, zone), str(zone), plain | stood),
        )


def _several(chosen: str, values: Iterable[tuple[str, str]]) -> str:
    """Values with commas between them, in words as far as there are words for them."""
    texts = dict(values)
    return ", ".join(texts.get(each, each) for each in chosen.split(","))


def _between(begin: str, end: str) -> str:
    if begin and end:
        return f"{begin} – {end}"
    if begin:
        return _("from %(time)s") % {"time": begin}
    return _("before %(time)s") % {"time": end} if end else ""
