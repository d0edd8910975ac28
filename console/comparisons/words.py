"""Words of the pages of comparisons: kinds of differences, results, and how complete each side was."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from config_schema.codes.codes import CodeTexts, is_about_identity
from console.ui.comparison_texts import in_step_counts, render_result_pill
from console.ui.formatting import long_duration
from console.ui.outcome_texts import describe_code, render_pill
from sync.comparisons.list_gaps import ListGap
from sync.comparisons.progress import ComparisonProgress
from sync.comparisons.uncompared_fields import find_uncompared
from sync.models import (
    Comparison,
    ComparisonCause,
    ComparisonPhase,
    ComparisonState,
    Connection,
    DifferenceKind,
    Route,
)

_KIND_TEXTS: Mapping[str, str | Promise] = {
    DifferenceKind.DIFFERS: gettext_lazy("The record has other values than the mapping gives."),
    DifferenceKind.MISSING_RECORD: gettext_lazy(
        "%(identity)s has the entity. %(target)s has no record of it: a search found none."
    ),
    DifferenceKind.FOUND_BY_VALUE: gettext_lazy(
        "A record without a link has the same value, such as an address. Its next event decides, or a person."
    ),
    DifferenceKind.ENTITY_GONE: gettext_lazy(
        "%(identity)s no longer has the entity, and its record is still in use."
    ),
    DifferenceKind.UNLINKED_RECORD: gettext_lazy(
        "The record has an external id that %(identity)s does not list. It may belong to another hub or service."
    ),
    DifferenceKind.UNKNOWN_RECORD: gettext_lazy("The record has neither a link nor an external id."),
    DifferenceKind.OUT_OF_SCOPE: gettext_lazy("The route is not for this entity."),
    DifferenceKind.UNMAPPABLE: gettext_lazy("The mapping has no valid result for the entity."),
    DifferenceKind.UNREADABLE: gettext_lazy("The entity or its record could not be read."),
}
_STATE_PILLS: Mapping[str, tuple[str, str, str | Promise]] = {
    ComparisonState.WAITING: ("quiet", "○", gettext_lazy("Waiting for a worker")),
    ComparisonState.RUNNING: ("running", "▸", gettext_lazy("Running")),
    ComparisonState.FAILED: ("bad", "✕", gettext_lazy("Failed")),
    ComparisonState.CANCELLED: ("quiet", "⊘", gettext_lazy("Cancelled")),
}


def pair_name(pair: Comparison | Route) -> str:
    """Return the name of a pair: `USER: Aurora ID → The shop`."""
    return f"{pair.entity_type}: {pair.identity} → {pair.target}"


def kind_label(kind: str) -> str:
    """Return the name of a kind of difference; an unknown one is returned as it is."""
    return str(DifferenceKind(kind).label).capitalize() if kind in DifferenceKind.values else kind


def kind_text(kind: str, comparison: Comparison) -> str:
    """Return a sentence that says what a kind of difference is."""
    return str(_KIND_TEXTS[kind]) % _names(comparison)


def count_text(count: int, *, is_about: bool) -> str:
    """Format a count. `is_about`: some of them were not confirmed, so that it may be less."""
    return _("about %(count)s") % {"count": f"{count:,}"} if is_about else f"{count:,}"


def in_step_text(comparison: Comparison) -> str:
    """Return `9,786 of 10,000`: the entities in step, of all that were compared."""
    in_step, compared = in_step_counts(comparison)
    return _("%(count)s of %(total)s") % {"count": f"{in_step:,}", "total": f"{compared:,}"}


def differences_text(comparison: Comparison) -> str:
    """Return how many differences a comparison found."""
    return count_text(comparison.difference_count, is_about=any(comparison.unconfirmed.values()))


def result_pill(comparison: Comparison) -> SafeString:
    """Render the result of a comparison, or the state of one without a result."""
    if comparison.state != ComparisonState.DONE:
        style, symbol, label = _STATE_PILLS[comparison.state]
        return render_pill(style, symbol, str(label))
    return render_result_pill(comparison)


def requester_text(comparison: Comparison) -> str:
    """Return who requested a comparison: a person, the command line or the schedule."""
    if comparison.requested_by is not None:
        return comparison.requested_by.get_username()
    return str(ComparisonCause(comparison.cause).label)


def completeness_sentences(comparison: Comparison) -> list[str]:
    """Return one sentence for each side: that it was read to its end, or why not and what is not known therefore."""
    return [_identity_sentence(comparison), _target_sentence(comparison)]


def _identity_sentence(comparison: Comparison) -> str:
    text = _("All entities of %(identity)s were read.")
    if comparison.identity_gap:
        text = _(
            "The entities of %(identity)s were not all read: %(reason)s. Therefore no entity is reported as gone."
        )
    return text % {**_names(comparison), "reason": gap_text(comparison.identity_gap, comparison.identity)}


def _target_sentence(comparison: Comparison) -> str:
    text = _("All records of %(target)s were read.")
    if comparison.target_gap:
        text = _(
            "The records of %(target)s were not all read: %(reason)s. The rest was read by link and by search; "
            "records without a link are not known."
        )
    return text % {**_names(comparison), "reason": gap_text(comparison.target_gap, comparison.target)}


def gap_text(gap: str, connection: Connection) -> str:
    """Return why a side is incomplete, as the middle of a sentence; empty if it is complete."""
    if gap in ListGap.values:
        return str(ListGap(gap).label)
    return describe_code(gap, connection.name).title.rstrip(".") if gap else ""


def uncompared_sentences(comparison: Comparison) -> list[str]:
    """Return a sentence for each reason that fields make no difference, with their names."""
    uncompared = find_uncompared(comparison)
    reasons = (
        (uncompared.from_webhook, _("%(fields)s: read from the webhook.")),
        (uncompared.created_only, _("%(fields)s: written only when a record is created.")),
        (uncompared.not_compared, _("%(fields)s: sent only together with other changes.")),
    )
    return [text % {"fields": ", ".join(names)} for names, text in reasons if names]


def failure_texts(comparison: Comparison) -> CodeTexts:
    """Return the texts of the code with which a comparison failed."""
    is_identity = is_about_identity(comparison.failure)
    return describe_code(comparison.failure, (comparison.identity if is_identity else comparison.target).name)


def phase_text(comparison: Comparison) -> str:
    """Return what a running comparison does now."""
    text = {
        ComparisonPhase.RECORDS: _("Reading the records of %(target)s"),
        ComparisonPhase.ENTITIES: _("Reading the entities of %(identity)s"),
        ComparisonPhase.CONFIRMING: _("Checking each difference again"),
    }[ComparisonPhase(comparison.phase)]
    return text % _names(comparison)


def progress_text(progress: ComparisonProgress) -> str:
    """Return `3,400 of 10,000 · 120 a second · both are read in about 55 s`, as far as known."""
    parts = [f"{progress.done:,}"]
    if progress.total is not None:
        parts = [
            _("%(count)s of %(total)s") % {"count": f"{progress.done:,}", "total": f"{progress.total:,}"}
        ]
    if progress.per_second is not None:
        parts.append(_pace_text(progress.per_second))
    if progress.seconds_left:
        left = long_duration(max(1.0, progress.seconds_left))
        parts.append(_("both are read in about %(time)s") % {"time": left})
    return " · ".join(parts)


def _pace_text(per_second: float) -> str:
    if per_second >= 1:
        return _("%(count)s a second") % {"count": f"{per_second:,.0f}"}
    return _("%(count)s a minute") % {"count": f"{per_second * 60:,.0f}"}


def gone_texts(comparison: Comparison) -> tuple[str, str]:
    """Return what making `entity-gone` equal does by the policy of the route, as a sentence and as a button.

    Both are empty if the route changes no record.
    """
    count = comparison.counts.get(DifferenceKind.ENTITY_GONE, 0)
    policy = comparison.route.when_deleted
    if not count or policy == Route.DeletionPolicy.IGNORE:
        return "", ""
    if policy == Route.DeletionPolicy.DELETE:
        sentence = ngettext(
            "%(identity)s no longer has %(count)s entity whose record is still in %(target)s. The route deletes "
            "this record.",
            "%(identity)s no longer has %(count)s entities whose records are still in %(target)s. The route deletes "
            "these records.",
            count,
        )
        button = ngettext("Delete %(count)s record…", "Delete %(count)s records…", count)
    else:
        sentence = ngettext(
            "%(identity)s no longer has %(count)s entity whose record is still active in %(target)s. The route "
            "deactivates this record.",
            "%(identity)s no longer has %(count)s entities whose records are still active in %(target)s. The route "
            "deactivates these records.",
            count,
        )
        button = ngettext("Deactivate %(count)s record…", "Deactivate %(count)s records…", count)
    values = {**_names(comparison), "count": f"{count:,}"}
    return sentence % values, button % values


def _names(comparison: Comparison) -> dict[str, str]:
    return {"identity": comparison.identity.name, "target": comparison.target.name}
