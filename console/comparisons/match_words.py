"""Words of the matching desk: how certain a record is, what was decided, and runs that link all that is certain."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from config_schema.codes.codes import is_about_identity
from console.ui.outcome_texts import describe_code, render_pill
from sync.comparisons.list_gaps import ComparisonFailure, ListGap
from sync.models import Comparison, MatchLinking, MatchLinkingState, MatchOutcome

# Evidence of a row, in the order of its filter.
EVIDENCE_LABELS: Mapping[str, str | Promise] = {
    MatchOutcome.VERIFIED_UNIQUE: gettext_lazy("Verified and unique"),
    MatchOutcome.AMBIGUOUS: gettext_lazy("Several records have the value"),
    MatchOutcome.SHARED_VALUE: gettext_lazy("Several entities have the value"),
    MatchOutcome.UNVERIFIED: gettext_lazy("The value is not verified"),
}
OUTCOME_LABELS: Mapping[str, str | Promise] = {
    MatchOutcome.LINKED: gettext_lazy("Linked"),
    **EVIDENCE_LABELS,
    MatchOutcome.HAS_RECORD: gettext_lazy("Already has a record"),
    MatchOutcome.RECORD_TAKEN: gettext_lazy("The record is linked to another entity"),
    MatchOutcome.CHANGED: gettext_lazy("Another record, or none, is found now"),
    MatchOutcome.CHOSEN: gettext_lazy("Decided by a person"),
    MatchOutcome.IN_DELIVERY: gettext_lazy("A delivery has not ended"),
    MatchOutcome.HELD: gettext_lazy("A delivery is held"),
    MatchOutcome.ERASED: gettext_lazy("Erased"),
    MatchOutcome.UNREADABLE: gettext_lazy("Could not be read or mapped"),
}
_STATE_PILLS = {
    MatchLinkingState.PREVIEWING: ("warn", "↻"),
    MatchLinkingState.READY: ("warn", "!"),
    MatchLinkingState.AWAITING: ("warn", "!"),
    MatchLinkingState.LINKING: ("warn", "↻"),
    MatchLinkingState.DONE: ("good", "✓"),
    MatchLinkingState.FAILED: ("bad", "✕"),
    MatchLinkingState.CANCELLED: ("quiet", "⊘"),
}


def evidence_text(code: str) -> str:
    """Return how certain it is that a record is the entity's; of a row that was not confirmed: that it is unknown."""
    return str(EVIDENCE_LABELS.get(code, _("Not checked yet")))


def linking_pill(linking: MatchLinking) -> SafeString:
    """Render the state of a run."""
    style, symbol = _STATE_PILLS[MatchLinkingState(linking.state)]
    return render_pill(style, symbol, linking.get_state_display().capitalize())


def problem_text(linking: MatchLinking) -> str:
    """Return why a run waits, or has failed; empty without a reason."""
    code, comparison = linking.problem, linking.comparison
    if not code:
        return ""
    if code == ListGap.SAMPLE:
        return _(
            "The list of %(identity)s does not say that it is complete, so no value is known to be unique. Set "
            "“complete” in the settings of its list if it returns every entity."
        ) % _names(comparison)
    if code in ListGap.values:
        return _("The list of %(identity)s is incomplete: %(reason)s.") % {
            **_names(comparison),
            "reason": ListGap(code).label,
        }
    if code in ComparisonFailure.values:
        return str(ComparisonFailure(code).label).capitalize() + "."
    system = comparison.identity if is_about_identity(code) else comparison.target
    return describe_code(code, system.name).title


def linkable_text(count: int) -> str:
    """Return the sentence of a preview: how many records would be linked."""
    if not count:
        return _("No record would be linked.")
    return ngettext("%(count)s record would be linked.", "%(count)s records would be linked.", count) % {
        "count": f"{count:,}"
    }


def linked_text(count: int) -> str:
    """Return the sentence of a run that is done."""
    return ngettext("%(count)s record was linked.", "%(count)s records were linked.", count) % {
        "count": f"{count:,}"
    }


def _names(comparison: Comparison) -> dict[str, str]:
    return {"identity": comparison.identity.name, "target": comparison.target.name}
