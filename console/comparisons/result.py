"""The result of a comparison as pages show it: what is in step, what differs, and what is not known."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console.comparisons.words import (
    completeness_sentences,
    count_text,
    in_step_text,
    kind_label,
    kind_text,
    requester_text,
    result_pill,
    uncompared_sentences,
)
from sync.models import Comparison, ComparisonCount, ComparisonState, DifferenceKind

RELATED = ("route__source", "identity", "target", "mapping", "mapping_version", "requested_by")


def find_comparison(key: UUID) -> Comparison:
    """Return a comparison with what its pages name. Raises Http404."""
    return get_object_or_404(Comparison.objects.select_related(*RELATED), uuid=key)


@dataclass(frozen=True, slots=True)
class ResultCount:
    """One count of a result. `text`: what it counts. `url`: the rows of this kind or field, empty if there are none.
    `desk_url`: where a person decides about them, empty if none has to.
    """

    label: str
    count: str
    text: str
    url: str = ""
    desk_url: str = ""


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """The result of a comparison that ended. `uncompared`: sentences about fields that make no difference."""

    row: Comparison
    kinds: tuple[ResultCount, ...]
    others: tuple[ResultCount, ...]
    fields: tuple[ResultCount, ...]
    uncompared: tuple[str, ...]

    @property
    def pill(self) -> SafeString:
        return result_pill(self.row)

    @property
    def in_step(self) -> str:
        return in_step_text(self.row)

    @property
    def requester(self) -> str:
        return requester_text(self.row)

    @property
    def completeness(self) -> list[str]:
        return completeness_sentences(self.row) if self.row.state == ComparisonState.DONE else []

    @property
    def unconfirmed(self) -> int:
        return sum(self.row.unconfirmed.values())


def describe_result(comparison: Comparison) -> ComparisonResult:
    """Return the result of a comparison, from its own row."""
    page = reverse("admin:sync_comparison_change", args=[comparison.uuid])
    by_number = sorted(comparison.field_counts.items(), key=lambda field: (-field[1], field[0]))
    return ComparisonResult(
        comparison,
        tuple(_kind_counts(comparison, page)),
        tuple(_other_counts(comparison)),
        tuple(
            ResultCount(name, f"{count:,}", "", f"{page}?{urlencode({'field': name})}#results")
            for name, count in by_number
        ),
        tuple(uncompared_sentences(comparison)),
    )


def _kind_counts(comparison: Comparison, page: str) -> Iterator[ResultCount]:
    desk = reverse("admin:sync_comparison_match", args=[comparison.uuid])
    for kind in DifferenceKind.values:
        if count := comparison.counts.get(kind):
            is_about = bool(comparison.unconfirmed.get(kind))
            yield ResultCount(
                kind_label(kind),
                count_text(count, is_about=is_about),
                kind_text(kind, comparison),
                f"{page}?kind={kind}#results",
                desk if kind == DifferenceKind.FOUND_BY_VALUE else "",
            )


def _other_counts(comparison: Comparison) -> Iterator[ResultCount]:
    """Yield the counts of what is no difference: removed records, and what was left out."""
    texts = {
        ComparisonCount.IN_STEP_REMOVED: (
            _("In step (removed)"),
            _("The entity is gone, and its record is deactivated or stays."),
        ),
        ComparisonCount.IN_DELIVERY: (_("In delivery"), _("A delivery was in progress: left out.")),
        ComparisonCount.OTHERS: (_("Others"), _("Records that other routes have linked: left out.")),
    }
    for name, (label, text) in texts.items():
        if count := comparison.counts.get(name):
            yield ResultCount(label, f"{count:,}", text)
