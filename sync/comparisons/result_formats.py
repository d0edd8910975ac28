"""The result of a comparison for the command line: as lines of text, and as JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

from sync.comparisons.agreement import shows_in_step
from sync.models import Comparison, ComparisonCount, DifferenceKind

_LABELS: Mapping[str, str] = {
    str(kind): str(kind.label)
    for kind in (
        *(ComparisonCount.IN_STEP, ComparisonCount.IN_STEP_REMOVED),
        *DifferenceKind,
        *(ComparisonCount.IN_DELIVERY, ComparisonCount.OTHERS),
    )
}


def format_lines(comparison: Comparison) -> Iterator[str]:
    """Yield a line for each count that is not zero, and for each side that was not read completely."""
    for name, label in _LABELS.items():
        if number := comparison.counts.get(name, 0):
            yield f"{number:>10,}  {label}{_format_details(comparison, name)}"
    gaps = (("identity service", comparison.identity_gap), ("target", comparison.target_gap))
    for side, gap in gaps:
        if gap:
            yield f"The list of the {side} was not read completely ({gap})."


def _format_details(comparison: Comparison, name: str) -> str:
    details = []
    if name == DifferenceKind.DIFFERS:
        details += [f"{field} {number:,}" for field, number in comparison.field_counts.items()]
    if unconfirmed := comparison.unconfirmed.get(name):
        details.append(f"about: {unconfirmed:,} not checked again")
    return f" ({', '.join(details)})" if details else ""


def format_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as a JSON object; `in_step` is null if it cannot tell."""
    return {
        "in_step": shows_in_step(comparison),
        "comparison": str(comparison.uuid),
        "state": comparison.state,
        "requested_at": comparison.requested_at.isoformat(),
        "ended_at": comparison.ended_at and comparison.ended_at.isoformat(),
        "read_entities": comparison.read_entities,
        "read_records": comparison.read_records,
        "identity_gap": comparison.identity_gap,
        "target_gap": comparison.target_gap,
        "counts": comparison.counts,
        "not_confirmed": comparison.unconfirmed,
        "fields": comparison.field_counts,
    }
