"""The event list's filters: their choices come from constants and small tables, never from the events."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import ListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from webhooks.models import Event, Source, State

EVENT_TYPES = ("CREATE", "UPDATE", "DELETE")
_OTHER = "other"
_PERIODS = {"1": "last hour", "24": "last 24 hours", "168": "last 7 days", "720": "last 30 days"}


class StateFilter(admin.SimpleListFilter):
    """`failed` is what needs somebody."""

    title = "state"
    parameter_name = "state"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(str(state.value), str(state.label)) for state in State]

    def queryset(self, _: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(state=self.value()) if self.value() else queryset


class EventTypeFilter(admin.SimpleListFilter):
    """The three words that are delivered, and all others together."""

    title = "event type"
    parameter_name = "event_type"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [*((word, word) for word in EVENT_TYPES), (_OTHER, "another word")]

    def queryset(self, _: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        if self.value() == _OTHER:
            return queryset.exclude(event_type__in=EVENT_TYPES)
        return queryset.filter(event_type=self.value()) if self.value() else queryset


class SourceFilter(admin.SimpleListFilter):
    """By who sent it, by slug."""

    title = "source"
    parameter_name = "source"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return list(Source.objects.values_list("slug", "name"))

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, _: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        # The key, not a join: the index on source and time answers this in order.
        key = Source.objects.filter(slug=self.value()).values_list("pk", flat=True).first()
        return queryset.filter(source_id=key) if key else queryset.none()


class EntityFilter(admin.SimpleListFilter):
    """Shown only where a link asked for one entity."""

    title = "entity"
    parameter_name = "entity_id"

    def lookups(self, request: HttpRequest, _: Any) -> list[tuple[str, str]]:
        asked = request.GET.get(self.parameter_name, "")
        return [(asked, asked)] if asked else []

    def queryset(self, _: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        asked = self.value()
        if asked and "\0" in asked:
            raise IncorrectLookupParameters("no text that a database takes")
        return queryset.filter(entity_id=asked) if asked else queryset


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
        for hours, label in _PERIODS.items():
            query = changelist.get_query_string({"received": hours}, ["received"])
            yield {"selected": asked == hours, "query_string": query, "display": label.capitalize()}

    def queryset(self, _: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        hours, begin, end = (self.asked.get(name) for name in self.names)
        if hours:
            if hours not in _PERIODS:
                raise IncorrectLookupParameters("unknown period")
            queryset = queryset.filter(received_at__gte=timezone.now() - timedelta(hours=int(hours)))
        if begin:
            queryset = queryset.filter(received_at__gte=_utc(begin))
        return queryset.filter(received_at__lt=_utc(end)) if end else queryset


def _utc(text: str) -> datetime:
    """A time as `datetime-local` sends it, or with a zone. `IncorrectLookupParameters` for anything else."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise IncorrectLookupParameters("no time") from error


FILTERS: tuple[Any, ...] = (StateFilter, ReceivedFilter, EventTypeFilter, SourceFilter, EntityFilter)
PARAMETERS = frozenset(
    {*ReceivedFilter.names, *(each.parameter_name for each in FILTERS if each is not ReceivedFilter)}
)
