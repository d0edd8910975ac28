"""Build the pages of an export: the request, the progress, the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.readable_rows import load_entries
from audit.models import Checkpoint, Entry
from console.audit_log.entry_words import describe_entries
from console.events.list_query import filter_count_label
from console.export_jobs.words import content_phrases, export_mark, table_choices
from console.ui.event_filters import EVENT_FILTERS, describe_filter
from console.ui.formatting import long_duration
from exports.models import Export, ExportState, table_label
from sync.search.event_filter import EventFilter

_OPEN_STATES = (ExportState.WAITING, ExportState.RUNNING)
_MAX_SHOWN = 50


@dataclass(frozen=True, slots=True)
class ArchiveDownload:
    """One download of the archive."""

    who: str
    at: datetime


def archive_name(export: Export) -> str:
    """Return the file name under which the archive is downloaded."""
    return f"export-{export.created_at:%Y%m%dT%H%M%SZ}-{str(export.uuid)[:8]}.zip"


def requester_name(export: Export) -> str:
    """Return the name of the requester for people."""
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
    """Return the context of the page of one export."""
    is_done, is_open = export.state == ExportState.DONE, export.state in _OPEN_STATES
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
        "may_cancel": is_open and may_export,
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
