"""What the comparisons of a pair say, in one line with its evidence: counts, when it was compared, when it is next."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.ui.formatting import render_age, render_minute
from console.ui.outcome_texts import render_pill
from sync.models import Comparison, ComparisonCount, ComparisonState, DifferenceKind, RepairOutcome, Route
from sync.monitoring.comparison_figures import PairFigures

# Kinds of differences of entities that the identity service has.
_LISTED_KINDS = tuple(
    kind
    for kind in DifferenceKind
    if kind not in (DifferenceKind.ENTITY_GONE, DifferenceKind.UNLINKED_RECORD, DifferenceKind.UNKNOWN_RECORD)
)


def render_compared(at: datetime | None, now: datetime) -> SafeString:
    """Render when something was compared: `02:10 (14 h ago)`."""
    return format_html("{} ({})", render_minute(at, now), render_age(at, now))


def render_pair_line(pair: PairFigures, now: datetime) -> SafeString:
    """Render `In step 9,786 of 10,000, differs 214, compared 02:10, next 02:00.`"""
    parts = [*_result_parts(pair.done), *_time_parts(pair, now)]
    return format_html("{}.", format_html_join(", ", "{}", ((part,) for part in parts)))


def render_pair_pill(pair: PairFigures) -> SafeString:
    """Render whether the two systems are in step, as far as is known."""
    if _has_failed_since(pair):
        return render_pill("bad", "✕", _("Failed"))
    if pair.done is None:
        return render_pill("quiet", "–", _("Not compared"))
    return render_result_pill(pair.done)


def render_result_pill(done: Comparison) -> SafeString:
    """Render whether a comparison that reached its end found the two systems in step."""
    if done.out_of_step_count:
        return render_pill("warn", "≠", _("Not in step"))
    if not done.is_complete:
        return render_pill("warn", "!", _("Incomplete"))
    return render_pill("good", "✓", _("In step"))


def schedule_sentences(route: Route, pair: PairFigures | None) -> Iterator[str]:
    """Yield how often a route compares, what it makes equal by itself, and what it did after the last comparison."""
    if route.relays:
        yield _("This route uses the webhook's own data, so the two systems cannot be compared.")
        return
    hours = route.compare_every_hours
    if hours:
        text = ngettext("Compared every hour.", "Compared every %(count)s hours.", hours) % {"count": hours}
        yield f"{text} {_repair_sentence(route)}"
    done = pair.done if pair is not None else None
    if done is not None and done.repair not in ("", RepairOutcome.OFF):
        yield _("After the last scheduled comparison: %(outcome)s.") % {"outcome": done.get_repair_display()}


def _repair_sentence(route: Route) -> str:
    if not route.repairs_differences:
        return _("Differences are only reported.")
    text = ngettext(
        "If there is at most %(count)s difference, it is made equal automatically.",
        "If there are at most %(count)s differences, they are made equal automatically.",
        route.max_repairs,
    )
    missing = " " + _("Missing records are created too.") if route.repairs_missing_records else ""
    return text % {"count": route.max_repairs} + missing


def in_step_counts(done: Comparison) -> tuple[int, int]:
    """Return how many entities are in step, and of how many that were listed."""
    in_step = done.counts.get(ComparisonCount.IN_STEP, 0)
    listed = sum(done.counts.get(kind.value, 0) for kind in _LISTED_KINDS)
    return in_step, in_step + done.counts.get(ComparisonCount.IN_DELIVERY, 0) + listed


def _result_parts(done: Comparison | None) -> Iterator[str]:
    if done is None:
        yield _("Not compared yet")
        return
    in_step, total = in_step_counts(done)
    yield _("In step %(count)s of %(total)s") % {"count": f"{in_step:,}", "total": f"{total:,}"}
    for kind in DifferenceKind:
        if count := done.counts.get(kind.value, 0):
            yield f"{kind.label} {count:,}"
    if waiting := done.counts.get(ComparisonCount.IN_DELIVERY, 0):
        yield _("in delivery %(count)s") % {"count": f"{waiting:,}"}
    if done.unstable:
        yield _("does not stay equal %(count)s") % {"count": f"{done.unstable:,}"}
    if not done.is_complete:
        yield _("incomplete")


def _time_parts(pair: PairFigures, now: datetime) -> Iterator[str | SafeString]:
    if pair.done is not None:
        yield format_html(_("compared {}"), render_minute(pair.done.ended_at, now))
    if pair.is_open:
        yield _("being compared now")
    elif _has_failed_since(pair):
        yield _("the last comparison failed")
    if pair.next_at is not None and not pair.is_open:
        text = _("next {}") if pair.next_at > now else _("due since {}")
        yield format_html(text, render_minute(pair.next_at, now))


def _has_failed_since(pair: PairFigures) -> bool:
    return pair.ended is not None and pair.ended.state == ComparisonState.FAILED


def pair_context(pair: PairFigures, now: datetime | None = None) -> dict[str, Any]:
    """Return what a template shows of a pair."""
    at = now or timezone.now()
    observing = render_pill("quiet", "◎", _("Observing")) if pair.observes else ""
    return {
        "pair": pair,
        "pill": render_pair_pill(pair),
        "observing": observing,
        "line": render_pair_line(pair, at),
    }
