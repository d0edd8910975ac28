"""The filters of the event list as chips: each says its value, and every choice is a plain link."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from integration_hub.console.filtering import EVENT_TYPES, NEEDS_SOMEBODY, OTHER, PERIODS, WORDS
from integration_hub.console.wording import code_words
from webhooks.codes import CATALOGUE
from webhooks.models import State

Words = Mapping[str, str]
_TIMES = ("received", "received_from", "received_to")
# Why an event failed, or waits: of those of requests that were refused there is no event.
REASONS = tuple(
    code for code, each in CATALOGUE.items() if each.status in (409, 422, 424) and each.owner != "sender"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a filter, as a link."""

    text: str
    query: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter. `value` is empty where it is not set; `without` is the list without it."""

    name: str
    label: str
    value: str
    choices: Sequence[Choice]
    without: str


@dataclass(frozen=True, slots=True)
class Tab:
    """A view of the list under a name. `key` of one's own that was saved."""

    name: str
    query: str
    is_current: bool
    count: str = ""
    key: int | None = None


def query_of(words: Words) -> str:
    """The address of a list: its filters, without a place in it."""
    return "?" + urlencode([(name, words[name]) for name in WORDS if words.get(name)])


def chips(words: Words, sources: Iterable[tuple[str, str]]) -> list[Chip]:
    """All chips; what only a link can ask for (an entity) has one where it was asked for."""
    found = [
        _received(words),
        _chip(words, "state", _("Status"), _states()),
        _reason(words),
        _chip(
            words, "event_type", _("Type"), [*((each, each) for each in EVENT_TYPES), (OTHER, _("Another"))]
        ),
        _chip(words, "source", _("Source"), sources),
    ]
    for name, label in (
        ("commercial", _("Connection")),
        ("entity_type", _("Entity type")),
        ("entity_id", _("Entity")),
    ):
        if value := words.get(name):
            found.append(_chip(words, name, label, [(value, value)]))
    return found


def _states() -> list[tuple[str, str]]:
    return [
        (NEEDS_SOMEBODY, _("Needs attention")),
        *((str(state.value), str(state.label).capitalize()) for state in State),
    ]


def _chip(words: Words, name: str, label: str, values: Iterable[tuple[str, str]]) -> Chip:
    chosen = words.get(name, "")
    choices = [Choice(text, query_of({**words, name: value}), value == chosen) for value, text in values]
    shown = next((each.text for each in choices if each.is_chosen), chosen)
    return Chip(name, label, shown, choices, query_of({**words, name: ""}))


def _reason(words: Words) -> Chip:
    """Reasons of what failed. One is looked for among what failed, unless another state is chosen."""
    values = sorted(((code, code_words(code).title) for code in REASONS), key=lambda each: each[1])
    within = words if words.get("code") else {**words, "state": words.get("state") or State.DEAD.value}
    return _chip(within, "code", _("Reason"), values)


def _received(words: Words) -> Chip:
    plain = {name: value for name, value in words.items() if name not in _TIMES}
    chosen = words.get("received", "")
    choices = [
        Choice(label.capitalize(), query_of({**plain, "received": hours}), hours == chosen)
        for hours, label in PERIODS.items()
    ]
    bounds = [words[name].replace("T", " ") for name in _TIMES[1:] if words.get(name)]
    shown = next((each.text for each in choices if each.is_chosen), "")
    return Chip("received", _("Received"), shown or " – ".join(bounds), choices, query_of(plain))


def tabs(words: Words, counts: Mapping[str, str], saved: Iterable[tuple[int, str, str]]) -> list[Tab]:
    """The views that everybody has, then those that were saved (key, name, query)."""
    views = [
        ("", _("All events"), {}),
        ("attention", _("Needs attention"), {"state": NEEDS_SOMEBODY}),
        ("retrying", _("Retrying"), {"state": State.RETRYING.value}),
        ("", _("Ignored today"), {"state": f"{State.IGNORED},{State.SUPERSEDED}", "received": "24"}),
    ]
    here = query_of(words)
    found = [
        Tab(name, query_of(view), query_of(view) == here, counts.get(key, "")) for key, name, view in views
    ]
    return found + [Tab(name, f"?{query}", f"?{query}" == here, key=key) for key, name, query in saved]
