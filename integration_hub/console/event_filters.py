"""The event list's filters: their choices come from constants and small tables, never from the events.

What a choice means is said once, by `console.filtering`, for the list and for exports.
"""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin import ListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from integration_hub.console.filtering import EVENT_TYPES, OTHER, PERIODS, NoSuchFilter, resolve
from integration_hub.console.wording import code_words
from sync.models import Connection, Side
from webhooks.codes import CATALOGUE
from webhooks.models import Event, Source, State

# Why an event failed, or waits: of those of requests that were refused there is no event.
REASONS = tuple(
    code for code, each in CATALOGUE.items() if each.status in (409, 422, 424) and each.owner != "sender"
)


def narrowed(queryset: QuerySet[Any], words: dict[str, str]) -> QuerySet[Any]:
    """The rows that these words mean. `IncorrectLookupParameters` where they mean none."""
    try:
        return resolve(words, timezone.now()).narrow(queryset)
    except NoSuchFilter as error:
        raise IncorrectLookupParameters(str(error)) from error


class WordFilter(admin.SimpleListFilter):
    """A filter whose parameter is a word of `console.filtering`."""

    def queryset(self, _: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return narrowed(queryset, {str(self.parameter_name): self.value() or ""})


class StateFilter(WordFilter):
    """`failed` is what needs somebody."""

    title = "state"
    parameter_name = "state"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(str(state.value), str(state.label)) for state in State]


class ReasonFilter(WordFilter):
    """Why, from the catalogue. Of one connection the other filter asks for both."""

    title = "reason"
    parameter_name = "code"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(code, code_words(code).title) for code in REASONS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if request.GET.get("commercial") else super().queryset(request, queryset)


class ConnectionFilter(WordFilter):
    """By where it was sent, by slug."""

    title = "connection"
    parameter_name = "commercial"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return list(Connection.objects.filter(side=Side.COMMERCIAL).values_list("slug", "name"))

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        also = {name: request.GET.get(name, "") for name in ("state", "code")}
        return narrowed(queryset, {**also, "commercial": self.value() or ""})


class EventTypeFilter(WordFilter):
    """The three words that are delivered, and all others together."""

    title = "event type"
    parameter_name = "event_type"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [*((word, word) for word in EVENT_TYPES), (OTHER, "another word")]


class SourceFilter(WordFilter):
    """By who sent it, by slug."""

    title = "source"
    parameter_name = "source"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return list(Source.objects.values_list("slug", "name"))

    def has_output(self) -> bool:
        return bool(self.lookup_choices)


class EntityFilter(WordFilter):
    """Shown only where a link asked for one entity."""

    title = "entity"
    parameter_name = "entity_id"

    def lookups(self, request: HttpRequest, _: Any) -> list[tuple[str, str]]:
        asked = request.GET.get(self.parameter_name, "")
        return [(asked, asked)] if asked else []


class ReceivedFilter(ListFilter):
    """By the time of arrival: a period up to now, or from and to (UTC, `to` not included)."""

    title = "received"
    template = "console/received_filter.html"
    names = ("received", "received_from", "received_to")

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        given = {name: str(params.pop(name)[-1]) for name in self.names if name in params}
        self.asked = {name: value for name, value in given.items() if value}
        self.hidden: list[tuple[str, str]] = []

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.names)

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        asked = self.asked.get("received")
        others = [name for name in changelist.filter_params if name not in self.names]
        self.hidden = [(name, value) for name in others for value in changelist.filter_params[name]]
        yield {
            "selected": not self.asked,
            "query_string": changelist.get_query_string(remove=["received"]),
            "display": "Any time",
        }
        for hours, label in PERIODS.items():
            query = changelist.get_query_string({"received": hours}, ["received"])
            yield {"selected": asked == hours, "query_string": query, "display": label.capitalize()}

    def queryset(self, _: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return narrowed(queryset, self.asked)


FILTERS: tuple[Any, ...] = (
    StateFilter,
    ReceivedFilter,
    ReasonFilter,
    EventTypeFilter,
    SourceFilter,
    ConnectionFilter,
    EntityFilter,
)
PARAMETERS = frozenset(
    {*ReceivedFilter.names, *(each.parameter_name for each in FILTERS if each is not ReceivedFilter)}
)
