"""Figures and texts of a back-test, and why an event could not be tested."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.settings.untestable_texts import untestable_text
from sync.models import BackTest
from sync.planning.mapping_comparison import ComparisonOutcome

OUTCOMES: Mapping[str, Promise] = {
    ComparisonOutcome.SAME: gettext_lazy("Same"),
    ComparisonOutcome.DIFFERENT: gettext_lazy("Different"),
    ComparisonOutcome.FAILS_NOW: gettext_lazy("Newly failing"),
    ComparisonOutcome.WORKS_NOW: gettext_lazy("No longer failing"),
    ComparisonOutcome.FAILS_BOTH: gettext_lazy("Failing in both"),
}
_END_TEXTS: Mapping[str, Promise] = {
    "enough": gettext_lazy("as requested"),
    "no-more": gettext_lazy("no more usable events among the newest 20,000 of its sources"),
    "time": gettext_lazy("the time limit was reached before all requested events were tested"),
    "over-budget": gettext_lazy("an expression is too expensive"),
}


@dataclass(frozen=True, slots=True)
class LabelledCount:
    """A count with its label and, optionally, its share in per cent."""

    key: str
    label: str
    count: int
    share: str = ""


@dataclass(frozen=True, slots=True)
class BacktestSummary:
    """Summarize a back-test. `is_clean`: at least one event was tested and none comes out differently."""

    row: BackTest
    outcomes: tuple[LabelledCount, ...]
    fields: tuple[LabelledCount, ...]
    untestable: tuple[LabelledCount, ...]
    sentence: str
    ended: str

    @property
    def newly_failing(self) -> int:
        """Return how many events fail with the draft and not with the active version."""
        return int(self.row.counts.get(ComparisonOutcome.FAILS_NOW, 0))

    @property
    def notice_style(self) -> str:
        """Return the style of the notice about the result."""
        if self.newly_failing:
            return "bad"
        if self.is_clean:
            return "good"
        return "plain" if self.row.tested_count else "warn"

    @property
    def is_clean(self) -> bool:
        return (
            set(self.row.counts) <= {ComparisonOutcome.SAME, ComparisonOutcome.FAILS_BOTH}
            and self.row.tested_count > 0
        )


def summarize_backtest(row: BackTest) -> BacktestSummary:
    """Build the summary of a back-test. Lists all outcomes in a fixed order, zeros included."""
    counts, tested = row.counts, row.tested_count
    return BacktestSummary(
        row=row,
        outcomes=tuple(
            LabelledCount(str(key), str(label), counts.get(key, 0)) for key, label in OUTCOMES.items()
        ),
        fields=tuple(
            LabelledCount(name, name, count, _share_text(count, tested)) for name, count in row.fields.items()
        ),
        untestable=tuple(
            LabelledCount(key, untestable_text(key), count) for key, count in row.untestable.items()
        ),
        sentence=_result_sentence(row),
        ended=str(_END_TEXTS.get(row.ended_by, "")),
    )


def _result_sentence(row: BackTest) -> str:
    tested = row.tested_count
    same, failing = (
        row.counts.get(outcome, 0) for outcome in (ComparisonOutcome.SAME, ComparisonOutcome.FAILS_BOTH)
    )
    if not tested:
        return _("No event could be tested.")
    if same == tested:
        text = ngettext(
            "The tested event gives the same result.",
            "All %(count)s tested events give the same result.",
            tested,
        )
        return text % {"count": f"{tested:,}"}
    other = tested - same - failing
    text = (
        _("%(other)s of %(tested)s tested events give a different result.")
        if other
        else _("None of %(tested)s tested events gives a different result.")
    )
    sentence = text % {"other": f"{other:,}", "tested": f"{tested:,}"}
    return f"{sentence} {_failing_both_sentence(failing)}" if failing else sentence


def _failing_both_sentence(count: int) -> str:
    text = ngettext(
        "%(count)s fails with and without the draft.", "%(count)s fail with and without the draft.", count
    )
    return text % {"count": f"{count:,}"}


def _share_text(count: int, tested: int) -> str:
    return f"{100 * count / tested:.0f} %" if tested else ""
