"""Failure groups: what broke, worst first, who looks after it, and what can be done about all of it at once."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Case, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integration_hub.console.charts import share
from integration_hub.console.closing_choice import freeze
from integration_hub.console.closing_pages import MAY_CLOSE, Back, close_chosen
from integration_hub.console.evidence import EvidenceAdmin
from integration_hub.console.failing_reasons import (
    dead_words,
    failed_lately,
    failed_query,
    is_worth_a_replay,
    replay_address,
    replay_helps,
)
from integration_hub.console.failure_forms import CareForm, NotesForm
from integration_hub.console.failure_history import history_of
from integration_hub.console.recording import address
from integration_hub.console.row_pages import RowPages
from sync.approving import LARGEST, NotDecidable
from sync.blaming import dead_of
from sync.failure_decisions import Decider, decide_group, note_group
from sync.models import Care, FailureGroup
from webhooks.codes import Words

MAY_TEND = "sync.tend_failuregroup"
MOST_LISTED = 200
_SAMPLE = 5
TABS = (
    ("", gettext_lazy("Need you"), (Care.OPEN, Care.ACKNOWLEDGED)),
    ("resolved", gettext_lazy("Resolved"), (Care.RESOLVED,)),
    ("ignored", gettext_lazy("Ignored"), (Care.IGNORED,)),
)


def worst_first(groups: QuerySet[FailureGroup]) -> QuerySet[FailureGroup]:
    """Open ones before those that somebody took on, then by how many failed."""
    place = Case(When(state=Care.OPEN, then=Value(0)), default=Value(1))
    return groups.order_by(place, "-number", "-last_at", "pk")


def _in_tab(groups: list[FailureGroup], name: str, states: tuple[Care, ...]) -> list[FailureGroup]:
    """Nobody is needed where nothing is failed any more."""
    return [each for each in groups if each.state in states and (each.number or name)]


@dataclass(frozen=True, slots=True)
class Listed:
    """A group in the list, where the worst has `most` failures."""

    group: FailureGroup
    most: int

    @property
    def words(self) -> Words:
        return dead_words(self.group.code, self.group.connection)

    @property
    def bar(self) -> str:
        return share(self.group.number, self.most)

    @property
    def replay(self) -> str:
        """Where all of it is replayed; empty where that is no use yet."""
        if not (self.group.number and is_worth_a_replay(self.group.code)):
            return ""
        return replay_address(failed_query(self.group.code, self.group.connection))


@admin.register(FailureGroup)
class FailureGroupAdmin(RowPages, EvidenceAdmin):
    """A list and a page for each; the worker makes the rows, people say what becomes of them."""

    menu_name = "Failure groups"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/decide/", wrap(self.decide_view), name="sync_failuregroup_decide"),
            path("<int:pk>/note/", wrap(self.note_view), name="sync_failuregroup_note"),
            path("<int:pk>/close/", wrap(self.close_view), name="sync_failuregroup_close"),
            path(
                "<int:pk>/close/<uuid:key>/",
                wrap(self.close_chosen_view),
                name="sync_failuregroup_close_chosen",
            ),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Two statements, whatever failed."""
        self.require(request)
        shown = request.GET.get("shown", "")
        every = list(
            worst_first(FailureGroup.objects.select_related("connection", "owner"))[: 3 * MOST_LISTED]
        )
        tabs = [(name, label, _in_tab(every, name, states)) for name, label, states in TABS]
        rows = next((rows for name, _label, rows in tabs if name == shown), tabs[0][2])[:MOST_LISTED]
        most = max((each.number for each in rows), default=0)
        context = {
            "title": _("Failure groups"),
            "rows": [Listed(each, most) for each in rows],
            "tabs": [(name, label, name == shown, len(rows)) for name, label, rows in tabs],
            "shown": shown,
        }
        return self.page(request, "console/failure_list.html", context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[FailureGroup]:
        return super().get_queryset(request).select_related("connection", "owner")

    def show_row(self, request: HttpRequest, row: FailureGroup) -> HttpResponse:
        """Everything about one group, and what can be done about it."""
        return self._show(request, row)

    def decide_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST only: take on, resolve, ignore or open again; with `?replay=1` on to the replay of all of it."""
        group = self._asked(request, pk, MAY_TEND)
        form = CareForm(request.POST)
        if not form.is_valid():
            return self._show(request, group, care_form=form)
        answer = form.cleaned_data
        try:
            decide_group(
                group,
                Care(answer["decision"]),
                by=self._decider(request),
                reason=answer["reason"],
                until=form.until(timezone.now()),
            )
        except NotDecidable as error:
            messages.error(request, str(error))
            return redirect("admin:sync_failuregroup_change", pk)
        if request.GET.get("replay") and request.user.has_perm("webhooks.replay_event"):
            return redirect(replay_address(failed_query(group.code, group.connection)))
        messages.success(request, _("Kept."))
        return redirect("admin:sync_failuregroup_change", pk)

    def note_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST only: owner, note and known fix."""
        group = self._asked(request, pk, MAY_TEND)
        form = NotesForm(request.POST, group)
        if not form.is_valid():
            return self._show(request, group, notes_form=form)
        if note_group(group, form.noted(), by=self._decider(request)):
            messages.success(request, _("Kept."))
        return redirect("admin:sync_failuregroup_change", pk)

    def close_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST only: freeze what is dead of this group now, the oldest thousand at most, and go on to confirm."""
        group = self._asked(request, pk, MAY_CLOSE)
        keys = list(dead_of(group).order_by("settled_at", "pk").values_list("pk", flat=True)[:LARGEST])
        if keys:
            return redirect("admin:sync_failuregroup_close_chosen", pk, freeze(request, keys))
        messages.warning(request, _("Nothing of this group is failed any more."))
        return redirect("admin:sync_failuregroup_change", pk)

    def close_chosen_view(self, request: HttpRequest, pk: int, key: UUID) -> HttpResponse:
        """Confirm exactly what was frozen."""
        self.require(request, MAY_CLOSE, "webhooks.view_event")
        group = get_object_or_404(self.get_queryset(request), pk=pk)
        back = Back(
            reverse("admin:sync_failuregroup_change", args=[pk]),
            dead_words(group.code, group.connection).title,
        )
        return close_chosen(self.admin_site, request, key, back)

    def _asked(self, request: HttpRequest, pk: int, permission: str) -> FailureGroup:
        self.require(request, permission)
        if request.method != "POST":
            raise Http404
        return get_object_or_404(self.get_queryset(request), pk=pk)

    def _decider(self, request: HttpRequest) -> Decider:
        assert request.user.is_authenticated, "admin_view lets in nobody else"
        return Decider(request.user, address(request))

    def _show(self, request: HttpRequest, group: FailureGroup, **forms: Any) -> TemplateResponse:
        sample = dead_of(group).order_by("-settled_at", "-pk").select_related("event__source")[:_SAMPLE]
        words = dead_words(group.code, group.connection)
        context = {
            "title": words.title,
            "group": group,
            "words": words,
            "helps": replay_helps(group.code),
            "lately": failed_lately(group, timezone.now()) if group.number else 0,
            "sample": list(sample),
            "query": failed_query(group.code, group.connection),
            "most_closed": min(group.number, LARGEST),
            "history": history_of(group),
            "care_form": CareForm(),
            "notes_form": NotesForm(None, group),
            **forms,
        }
        return self.page(request, "console/failure_group.html", context)

    def may(self, request: HttpRequest) -> dict[str, bool]:
        return {
            "tend": request.user.has_perm(MAY_TEND),
            "close": request.user.has_perm(MAY_CLOSE) and request.user.has_perm("webhooks.view_event"),
            "replay": request.user.has_perm("webhooks.replay_event"),
            "events": request.user.has_perm("webhooks.view_event"),
        }
