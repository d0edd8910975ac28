"""Page of a target connection that links its records again by their external ids: first a preview, then the change."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import acting_person
from console.base.forms import ReasonForm
from console.permissions import RELINK_PERMISSIONS
from console.ui.outcome_texts import describe_code, render_pill
from sync.models import Connection, ConnectionSide, RelinkExample, Relinking, RelinkingState, RelinkOutcome
from sync.operations.relink_requests import (
    RelinkingRefused,
    apply_preview,
    cancel_relinking,
    newest_relinking,
    request_preview,
)

MAX_SHOWN = 100
_OUTCOME_LABELS = {
    RelinkOutcome.STAYS: gettext_lazy("Keep their record"),
    RelinkOutcome.RELINKED: gettext_lazy("Get another record"),
    RelinkOutcome.HELD: gettext_lazy("Undecided"),
    RelinkOutcome.ABSENT: gettext_lazy("Without a record"),
    RelinkOutcome.UNCHECKED: gettext_lazy("Without an external id"),
}
_STATE_PILLS = {
    RelinkingState.PREVIEWING: ("warn", "↻"),
    RelinkingState.READY: ("warn", "!"),
    RelinkingState.LINKING: ("warn", "↻"),
    RelinkingState.DONE: ("good", "✓"),
    RelinkingState.FAILED: ("bad", "✕"),
    RelinkingState.CANCELLED: ("quiet", "⊘"),
}


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How many links have an outcome, with its label."""

    key: str
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class RelinkingSummary:
    """A run as the page shows it. `problem`: why it waits, empty if it does not."""

    run: Relinking
    counts: tuple[OutcomeCount, ...]
    examples: tuple[tuple[RelinkExample, str], ...]
    problem: str

    @property
    def checked(self) -> int:
        return sum(outcome.count for outcome in self.counts)

    @property
    def relinked(self) -> int:
        return self._count_of(RelinkOutcome.RELINKED)

    @property
    def held(self) -> int:
        return self._count_of(RelinkOutcome.HELD)

    @property
    def pill(self) -> SafeString:
        style, symbol = _STATE_PILLS[RelinkingState(self.run.state)]
        return render_pill(style, symbol, self.run.get_state_display().capitalize())

    def _count_of(self, outcome: RelinkOutcome) -> int:
        return next(count.count for count in self.counts if count.key == outcome)


def may_relink(request: HttpRequest, connection: Connection) -> bool:
    """Return True if the person may link the records of this connection again. It must be that of a target."""
    is_target = connection.side == ConnectionSide.TARGET
    return is_target and request.user.has_perms(RELINK_PERMISSIONS)


@admin_page("<int:pk>/relink/", "relink")
def relink_view(connection_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the last run; a POST starts a preview with a reason, applies one that is ready, or cancels the run."""
    connection_admin.require_permissions(request, *RELINK_PERMISSIONS)
    connection = get_object_or_404(Connection, pk=pk)
    if connection.side != ConnectionSide.TARGET:
        raise Http404("Only a target has linked records")
    run, form = newest_relinking(connection), ReasonForm(request.POST if "preview" in request.POST else None)
    if request.method == "POST" and ("preview" not in request.POST or form.is_valid()):
        _carry_out(request, connection, run, form)
        return redirect("admin:sync_connection_relink", pk)
    context = {
        "title": _("Link records of %(system)s again") % {"system": connection},
        "connection": connection,
        "summary": None if run is None else _summarize(run),
        "is_open": run is not None and run.is_open,
        "reason_form": form,
    }
    return connection_admin.render_page(request, "console/settings/connections/relink.html", context)


def _carry_out(request: HttpRequest, connection: Connection, run: Relinking | None, form: Any) -> None:
    person = acting_person(request)
    try:
        if "preview" in request.POST:
            request_preview(connection, person, form.cleaned_data["reason"])
            return
        if run is None or str(run.uuid) != request.POST.get("run"):
            raise RelinkingRefused(_("The run has changed in the meantime. Nothing was done."))
        if "apply" in request.POST:
            apply_preview(run, person)
        elif "cancel" in request.POST:
            cancel_relinking(run, person)
            messages.success(request, _("Cancelled. Records that were linked already stay so."))
    except RelinkingRefused as error:
        messages.error(request, str(error))


def _summarize(run: Relinking) -> RelinkingSummary:
    examples = run.examples.select_related("link").order_by("pk")[:MAX_SHOWN]
    return RelinkingSummary(
        run,
        tuple(
            OutcomeCount(outcome.value, str(label), run.counts.get(outcome.value, 0))
            for outcome, label in _OUTCOME_LABELS.items()
        ),
        tuple((example, str(_OUTCOME_LABELS[RelinkOutcome(example.outcome)])) for example in examples),
        describe_code(run.problem, run.connection.name).title if run.problem else "",
    )
