"""Build the pages of an export: the request, the progress, the result; its states and contents in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from audit.entries.readable_rows import load_entries
from audit.models import Checkpoint, Entry
from console.audit_log.entry_words import describe_entries
from console.base.decisions import deciders_text
from console.events.list_query import filter_count_label
from console.ui.event_filters import EVENT_FILTERS, describe_filter
from console.ui.formatting import long_duration
from console.ui.outcome_texts import render_pill
from exports.jobs.approvals import who_can_approve, why_not_approve
from exports.models import TABLE_LABELS, Export, ExportState, table_label
from sync.search.event_filter import EventFilter

_STATES: Mapping[str, tuple[str, str, object]] = {
    ExportState.AWAITING: ("warn", "‖", gettext_lazy("Waiting for a second person")),
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
    style, symbol, label = _STATES[state]
    return render_pill(style, symbol, str(label))


def table_choices() -> Sequence[TableChoice]:
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


_OPEN_STATES = (ExportState.WAITING, ExportState.RUNNING)
_MAX_SHOWN = 50


@dataclass(frozen=True, slots=True)
class ArchiveDownload:
    who: str
    at: datetime


def archive_name(export: Export) -> str:
    """Return the file name under which the archive is downloaded."""
    return f"export-{export.created_at:%Y%m%dT%H%M%SZ}-{str(export.uuid)[:8]}.zip"


def requester_name(export: Export) -> str:
    return export.requested_by.get_username() if export.requested_by else _("a command")


def request_context(params: Mapping[str, str], event_filter: EventFilter, form: Any) -> dict[str, Any]:
    """Return the context of the page that requests an export.

    `params` are the filters as they were chosen, `event_filter` the same filters with fixed times.
    """
    return {
        "title": _("New export"),
        "params": params,
        "query": EVENT_FILTERS.build_query(params),
        "chips": EVENT_FILTERS.build_chips(params),
        "sentences": describe_filter(event_filter.to_params()),
        "resolved": event_filter.to_params(),
        "is_whole": event_filter.filters_only_by_time,
        "count": filter_count_label(event_filter) or _("many events"),
        "tables": table_choices(),
        "ask_form": form,
    }


def detail_context(export: Export, user: Any, *, may_export: bool) -> dict[str, Any]:
    is_done, is_open = export.state == ExportState.DONE, export.state in _OPEN_STATES
    is_awaiting = export.state == ExportState.AWAITING
    checkpoint = Checkpoint.objects.filter(count=export.segments).first() if export.segments else None
    now = timezone.now()
    return {
        "title": _("Export of %(when)s UTC") % {"when": f"{export.created_at:%Y-%m-%d %H:%M}"},
        "export": export,
        "mark": export_mark(export.state),
        "file": archive_name(export),
        "by": requester_name(export),
        "sentences": describe_filter(export.filter),
        "table": table_label(export.table),
        "is_open": is_open,
        "step": _progress_text(export, now),
        "percent": 100 * export.position // export.total if export.total else None,
        "checkpoint": checkpoint,
        "contents": content_phrases(export),
        "downloads": _archive_downloads(export, user),
        "may_export": may_export,
        "may_cancel": (is_open or is_awaiting) and may_export,
        "is_awaiting": is_awaiting,
        "is_mine": export.requested_by_id == user.pk,
        "why_not": why_not_approve(export, user) if is_awaiting and may_export else "",
        "deciders": deciders_text(who_can_approve(export)) if is_awaiting else "",
        "is_there": is_done and export.archive.exists(),
        "looked_at": now,
    }


def _archive_downloads(export: Export, user: Any) -> Sequence[ArchiveDownload]:
    """Return the downloads that the audit log has, newest first."""
    entries = Entry.objects.filter(stream=export.stream, action="export.downloaded")
    newest = load_entries(entries.order_by("-stream_seq")[:_MAX_SHOWN])
    return [
        ArchiveDownload(row.actor, entry.at)
        for row, entry in zip(describe_entries(newest, user), newest, strict=True)
    ]


def _progress_text(export: Export, now: datetime) -> str:
    if export.state == ExportState.WAITING:
        return _("Waiting for a worker, which starts within seconds. You can leave this page.")
    if export.total is None:
        return _("Selecting events.")
    if export.position < export.total:
        values = {"position": f"{export.position:,}", "total": f"{export.total:,}"}
        return _("Writing rows: %(position)s of %(total)s events.") % values + _pace_text(export, now)
    return _("Writing the audit entries and packing the archive.")


def _pace_text(export: Export, now: datetime) -> str:
    """Return speed and remaining time as text, once there is enough to estimate from."""
    spent = (now - export.snapshot_at).total_seconds() if export.snapshot_at else 0.0
    # Too early for an estimate.
    if not export.position or spent < 1:
        return ""
    pace = export.position / spent
    left = ((export.total or 0) - export.position) / pace
    values = {"pace": f"{pace:,.0f}", "left": long_duration(max(1, left))}
    return _(" %(pace)s events a second, about %(left)s left.") % values
