"""What a try of a condition says: its figures, its sentences, and the consequences of saving the condition."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from config_schema.codes.codes import CATALOGUE
from console.settings.untestable_texts import untestable_text
from console.ui.outcome_texts import describe_code, render_pill
from sync.models import ConditionTry, GateDecision, JobState, Route, ScopeOutcome, TriedEntities

_LABELS: Mapping[str, Promise] = {
    ScopeOutcome.LEAVES: gettext_lazy("Leave"),
    ScopeOutcome.STAYS: gettext_lazy("Stay"),
    ScopeOutcome.ENTERS: gettext_lazy("Enter"),
    ScopeOutcome.UNKNOWN: gettext_lazy("Cannot say"),
}
_MEANINGS: Mapping[str, Promise] = {
    ScopeOutcome.LEAVES: gettext_lazy("They have a linked record, and the condition is false."),
    ScopeOutcome.STAYS: gettext_lazy("They have a linked record, and the condition is true."),
    ScopeOutcome.ENTERS: gettext_lazy(
        "They have no linked record, or left before, and the condition is true."
    ),
    ScopeOutcome.UNKNOWN: gettext_lazy(
        "The entity could not be read, or the condition is neither true nor false for it. Such a delivery fails; the "
        "entity does not leave."
    ),
}
_STATE_PILLS: Mapping[str, tuple[str, str]] = {
    JobState.WAITING: ("quiet", "○"),
    JobState.RUNNING: ("running", "▸"),
    JobState.DONE: ("good", "✓"),
    JobState.FAILED: ("bad", "✕"),
    JobState.CANCELLED: ("quiet", "⊘"),
}
_POLICY_TEXTS: Mapping[str, Promise] = {
    Route.LeavingPolicy.LEAVE: gettext_lazy("The records of those who leave are not changed any more."),
    Route.LeavingPolicy.DEACTIVATE: gettext_lazy("The records of those who leave are deactivated."),
    Route.LeavingPolicy.DELETE: gettext_lazy("The records of those who leave are deleted."),
    Route.LeavingPolicy.UNLINK: gettext_lazy("The links of those who leave end. Their records stay."),
}


@dataclass(frozen=True, slots=True)
class ScopeFigure:
    """How many entities have an outcome."""

    label: str
    count: int
    is_bad: bool


@dataclass(frozen=True, slots=True)
class ScopeExamples:
    """Examples of an outcome: the id of each entity and, if it cannot be said, why."""

    label: str
    meaning: str
    rows: tuple[tuple[str, str], ...]

    @property
    def has_reasons(self) -> bool:
        return any(why for _, why in self.rows)


def state_pill(row: ConditionTry) -> SafeString:
    """Render the state of a try."""
    style, symbol = _STATE_PILLS[row.state]
    return render_pill(style, symbol, row.get_state_display().capitalize())


def scope_figures(row: ConditionTry) -> list[ScopeFigure]:
    """Return the counts of a try that a person should look at, in a fixed order, zeros included."""
    bad = (ScopeOutcome.LEAVES, ScopeOutcome.UNKNOWN)
    return [
        ScopeFigure(str(label), row.counts.get(outcome, 0), outcome in bad and outcome in row.counts)
        for outcome, label in _LABELS.items()
    ]


def scope_examples(row: ConditionTry) -> list[ScopeExamples]:
    """Return the examples of those outcomes that a person should look at. One query."""
    by_outcome: dict[str, list[tuple[str, str]]] = {}
    for example in row.examples.order_by("pk"):
        by_outcome.setdefault(example.outcome, []).append((example.entity_id, _why(example.detail)))
    return [
        ScopeExamples(str(_LABELS[outcome]), str(meaning), tuple(by_outcome[outcome]))
        for outcome, meaning in _MEANINGS.items()
        if outcome in by_outcome
    ]


def _why(detail: str) -> str:
    if detail in CATALOGUE:
        return describe_code(detail).title
    return untestable_text(detail)


def failure_text(row: ConditionTry) -> str:
    """Return why a try has failed, or waits."""
    code = row.failure or row.problem
    return describe_code(code, row.identity.name).title if code else ""


def result_style(row: ConditionTry) -> str:
    """Return the style of the notice about the result."""
    if row.number_to_confirm() is not None:
        return "bad"
    is_clean = not row.count_leaving() and not row.counts.get(ScopeOutcome.UNKNOWN)
    return "good" if is_clean else "warn"


def result_sentences(row: ConditionTry, route: Route) -> list[str]:
    """Return what a finished try found, and what follows from it if its condition is saved."""
    return [
        sentence
        for sentence in (
            _leaving_sentence(row),
            _unread_sentence(row),
            str(_POLICY_TEXTS[route.on_leaving]) if row.count_leaving() else "",
            _unknown_sentence(row),
        )
        if sentence
    ]


def _leaving_sentence(row: ConditionTry) -> str:
    leaving, linked = row.count_leaving(), max(row.linked_count, row.read_linked)
    names = {"count": f"{leaving:,}", "linked": f"{linked:,}"}
    if not leaving:
        return _("No linked entity leaves the scope.")
    if row.unread_linked:
        return _("About %(count)s of %(linked)s linked entities leave the scope.") % names
    text = ngettext(
        "%(count)s of %(linked)s linked entities leaves the scope.",
        "%(count)s of %(linked)s linked entities leave the scope.",
        leaving,
    )
    return text % names


def _unread_sentence(row: ConditionTry) -> str:
    if not row.unread_linked:
        return ""
    names = {"count": f"{row.unread_linked:,}"}
    if row.read_linked:
        text = _("%(count)s linked entities were not read: as large a share of them is counted as leaving.")
    else:
        text = _("None of the %(count)s linked entities was read: all of them are counted as leaving.")
    return text % names


def _unknown_sentence(row: ConditionTry) -> str:
    count = row.counts.get(ScopeOutcome.UNKNOWN, 0)
    text = ngettext(
        "For %(count)s entity the condition cannot be evaluated: its deliveries fail.",
        "For %(count)s entities the condition cannot be evaluated: their deliveries fail.",
        count,
    )
    return text % {"count": f"{count:,}"} if count else ""


def number_sentence(row: ConditionTry) -> str:
    """Return that the number of those who leave has to be entered; empty if it has not."""
    number = row.number_to_confirm()
    if number is None:
        return ""
    return _("The condition can be saved only by entering this number: %(number)s.") % {
        "number": f"{number:,}"
    }


def source_sentence(row: ConditionTry) -> str:
    """Return which entities a try has read."""
    names = {"count": f"{row.read_count:,}", "identity": row.identity.name}
    if row.reads == TriedEntities.STORED:
        text = _(
            "The settings of %(identity)s have no list of this type, so the entities that the hub has stored last were "
            "tried: %(count)s of at most 1,000."
        )
    elif row.is_complete:
        text = _("All %(count)s entities in the list of %(identity)s were tried.")
    else:
        text = _(
            "%(count)s entities in the list of %(identity)s were tried. The list is not known to be complete."
        )
    return text % names


def others_sentence(row: ConditionTry) -> str:
    """Return how many entities are and stay outside."""
    outside, left = (row.counts.get(outcome, 0) for outcome in (ScopeOutcome.OUTSIDE, ScopeOutcome.LEFT))
    if not (outside or left):
        return ""
    text = _("Outside before and after: %(outside)s without a linked record, %(left)s that left before.")
    return text % {"outside": f"{outside:,}", "left": f"{left:,}"}


def scope_warnings(route: Route, before: Route, decision: GateDecision) -> Iterator[str]:
    """Yield the consequences of a changed scope."""
    if before.condition and not route.condition:
        yield _(
            "Without a condition the route is for all entities. Nobody leaves the scope, so nothing has to be tried."
        )
    if decision.tried is None:
        return
    yield from result_sentences(decision.tried, route)
    left = decision.tried.counts.get(ScopeOutcome.LEFT, 0)
    if left and before.on_leaving != route.on_leaving != Route.LeavingPolicy.LEAVE:
        text = _(
            "%(count)s linked entities left before. They are counted too, as their records have not changed yet."
        )
        yield text % {"count": f"{left:,}"}
