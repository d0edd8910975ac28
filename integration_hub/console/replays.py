"""Replays: who asked, when, why, and what came of it."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from integration_hub.console.evidence import EvidenceAdmin
from integration_hub.console.wording import moment, state_mark
from sync.models import Attempt, Outcome, Replay, Request

_SHOWN = 50


class KindFilter(admin.SimpleListFilter):
    """Replays, unless somebody asks for decisions about what was held."""

    title = "what was asked for"
    parameter_name = "kind"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(Request.APPROVAL, "approvals"), (Request.CLOSING, "closings")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Django's first choice means all; here it means replays."""
        first, *others = super().choices(changelist)
        yield {**first, "display": "replays"}
        yield from others

    def queryset(self, _: HttpRequest, queryset: QuerySet[Replay]) -> QuerySet[Replay]:
        return queryset.filter(kind=self.value() or Request.REPLAY)


@admin.register(Replay)
class ReplayAdmin(EvidenceAdmin):
    """Read-only; a replay is begun from the events, a decision from what is held. The list is of replays unless the
    filter asks for decisions.
    """

    list_display = ("requested", "kind", "requested_by", "reason", "events", "deliveries")
    list_select_related = ("requested_by",)
    list_filter = (KindFilter,)
    parameters = frozenset({KindFilter.parameter_name})
    ordering = ("-id",)
    actions = None
    fields = (
        "requested",
        "kind",
        "person",
        "reason",
        "events",
        "deliveries",
        "outcomes",
        "newest_attempts",
    )
    readonly_fields = fields

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        context["title"] = kwargs["obj"].get_kind_display().capitalize()
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="requested by")
    def person(self, replay: Replay) -> str:
        """Django would link to the login, which most who read this may not open."""
        return str(replay.requested_by)

    @admin.display(description="requested")
    def requested(self, replay: Replay) -> str | SafeString:
        return moment(replay.created_at)

    @admin.display(description="attempts so far, by outcome")
    def outcomes(self, replay: Replay) -> str:
        counted = (
            Attempt.objects.filter(replay=replay)
            .values_list("outcome")
            .annotate(Count("pk"))
            .order_by("outcome")
        )
        return ", ".join(f"{count:,} {Outcome(outcome).label}" for outcome, count in counted) or "none yet"

    @admin.display(description=f"its attempts, the newest {_SHOWN}")
    def newest_attempts(self, replay: Replay) -> SafeString:
        rows = replay.attempts.select_related("delivery__event").order_by("-id")[:_SHOWN]
        links = (
            (
                reverse("admin:webhooks_event_change", args=[row.delivery.event_id]),
                row.delivery.event.reference,
                state_mark(row.delivery.state),
            )
            for row in rows
        )
        return format_html("<ul>{}</ul>", format_html_join("", '<li><a href="{}">{}</a> {}</li>', links))
