"""Define the list of replays: its one filter, as tabs, and its columns."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.base.admin_pages import column
from console.replays.progress import progress_segments
from console.replays.results import is_single, summary_text
from console.replays.words import count_text, filter_sentences, replay_mark, what_text
from console.ui.filters import ViewTab
from console.ui.formatting import render_age
from sync.models import PersonRequest, PersonRequestKind, PersonRequestState


class KindFilter(admin.SimpleListFilter):
    """Selects replays, or decisions on held deliveries if the filter asks for them."""

    title = gettext_lazy("type")
    parameter_name = "kind"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        return [(PersonRequestKind.APPROVAL, _("approvals")), (PersonRequestKind.CLOSING, _("closed"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Relabel the first choice, which means all in Django and replays here."""
        first, *others = super().choices(changelist)
        yield {**first, "display": _("replays")}
        yield from others

    def value(self) -> str | None:
        """Return the selected kind; None for an unknown one."""
        given = super().value()
        return given if given in PersonRequestKind.values else None

    def queryset(self, request: HttpRequest, queryset: QuerySet[PersonRequest]) -> QuerySet[PersonRequest]:
        return queryset.filter(kind=self.value() or PersonRequestKind.REPLAY)


class ReplayColumns:
    """Columns of a `ModelAdmin` whose replays have `result` and `systems` attached."""

    person = column(PersonRequest, gettext_lazy("requested by"), lambda replay: str(replay.requested_by))
    requested = column(PersonRequest, gettext_lazy("requested"), lambda replay: render_age(replay.created_at))

    def list_headline(self, rows: Sequence[Any]) -> str:
        states = Counter(replay.state for replay in rows)
        awaiting, paused = states[PersonRequestState.AWAITING], states[PersonRequestState.PAUSED]
        running = states[PersonRequestState.RUNNING] + states[PersonRequestState.STOPPING]
        if awaiting:
            text = ngettext(
                "%(count)d replay is waiting for a second person.",
                "%(count)d replays are waiting for a second person.",
                awaiting,
            )
            return text % {"count": awaiting}
        if paused:
            return ngettext("%(count)d replay is paused.", "%(count)d replays are paused.", paused) % {
                "count": paused
            }
        text = ngettext("%(count)d replay is running.", "%(count)d replays are running.", running)
        return text % {"count": running} if running else _("No replay is running.")

    @admin.display(description=gettext_lazy("events"))
    def what(self, replay: Any) -> str:
        """Return the number of events with the filters as text, or the one event."""
        if replay.is_bulk:
            what = what_text(replay) if replay.makes_equal else count_text(replay, replay.total)
            return f"{what}: {' · '.join(filter_sentences(replay, replay.systems))}"
        if not is_single(replay):
            return summary_text(replay)
        words: str = replay.result.words
        return _("Make equal: %(event)s") % {"event": words} if replay.makes_equal else words

    @admin.display(description=gettext_lazy("result"))
    def progress(self, replay: Any) -> SafeString | str:
        if not replay.is_bulk:
            return replay.result.reason or "–" if is_single(replay) else "–"
        context = {"parts": progress_segments(replay), "replay": replay}
        return SafeString(render_to_string("console/replays/_progress_bar.html", context))

    @admin.display(description=gettext_lazy("status"))
    def state_column(self, replay: Any) -> SafeString:
        mark: SafeString = replay.result.mark if is_single(replay) else replay_mark(replay.state)
        return mark


def kind_tabs(changelist: Any) -> Iterator[ViewTab]:
    """Yield the choices of a change list's filter as tabs."""
    for spec in changelist.filter_specs:
        for choice in spec.choices(changelist):
            yield ViewTab(capfirst(str(choice["display"])), choice["query_string"], choice["selected"])
