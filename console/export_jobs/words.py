"""Words of the export pages: states, table formats, contents."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy, ngettext

from console.ui.outcome_texts import render_pill
from exports.models import TABLE_LABELS, Export, ExportState

_STATES: Mapping[str, tuple[str, str, object]] = {
    ExportState.WAITING: ("pending", "○", gettext_lazy("Waiting")),
    ExportState.RUNNING: ("running", "▸", gettext_lazy("In progress")),
    ExportState.DONE: ("good", "✓", gettext_lazy("Done")),
    ExportState.CANCELLED: ("quiet", "⊘", gettext_lazy("Cancelled")),
    ExportState.FAILED: ("bad", "✕", gettext_lazy("Failed")),
    ExportState.EXPIRED: ("quiet", "–", gettext_lazy("Expired")),
}


@dataclass(frozen=True, slots=True)
class TableChoice:
    """A table format that can be requested; `help` explains its use."""

    value: str
    label: str
    help: str


def export_mark(state: str) -> SafeString:
    """Return the state as a pill."""
    style, symbol, label = _STATES[state]
    return render_pill(style, symbol, str(label))


def table_choices() -> Sequence[TableChoice]:
    """Return all table formats, in order."""
    return [
        TableChoice(value, str(label), str(help_text)) for value, (label, help_text) in TABLE_LABELS.items()
    ]


def content_phrases(export: Export) -> list[str]:
    """Return the amounts of rows in an export, one phrase each."""
    phrases: Mapping[str, Callable[[int], str]] = {
        "events": lambda number: ngettext("%s event", "%s events", number),
        "receipts": lambda number: ngettext("%s webhook request", "%s webhook requests", number),
        "deliveries": lambda number: ngettext("%s delivery", "%s deliveries", number),
        "attempts": lambda number: ngettext("%s attempt", "%s attempts", number),
        "calls": lambda number: ngettext("%s API call", "%s API calls", number),
        "entries": lambda number: ngettext("%s audit entry", "%s audit entries", number),
        "segments": lambda number: ngettext("%s sealed segment", "%s sealed segments", number),
    }
    counted = ((phrase, export.counts.get(name)) for name, phrase in phrases.items())
    return [phrase(number) % f"{number:,}" for phrase, number in counted if number is not None]
