"""What the pages of an export show: before it is asked for, while it is made, and afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from audit.models import Checkpoint, Entry
from console.audit_log.entry_words import tell_entries
from console.events.list_filters import BAR, chips
from console.events.list_page import listed_sources
from console.events.list_query import count_meant
from console.export_jobs.words import contents, export_mark, table_choices
from console.ui.filter_text import describe_filter
from console.ui.formatting import long_duration
from exports.models import Export, ExportState, table_label
from sync.search.event_filter import EventFilter

_OPEN = (ExportState.WAITING, ExportState.RUNNING)
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Download:
    """Somebody took the archive."""

    who: str
    at: datetime


def file_name(export: Export) -> str:
    """Of the archive, as it is downloaded."""
    return f"export-{export.created_at:%Y%m%dT%H%M%SZ}-{str(export.uuid)[:8]}.zip"


def asked_by(export: Export) -> str:
    """Who, for people."""
    return export.requested_by.get_username() if export.requested_by else _("a command")


def question(words: Mapping[str, str], meant: EventFilter, form: Any) -> dict[str, Any]:
    """The page that asks. `words` are the filters as they were chosen, `meant` what they mean from now on."""
    return {
        "title": _("Export as evidence"),
        "words": words,
        "query": BAR.build_query(words),
        "chips": chips(words, listed_sources()),
        "sentences": describe_filter(meant.words()),
        "resolved": meant.words(),
        "is_whole": meant.is_of_times_only,
        "count": count_meant(meant) or _("many events"),
        "tables": table_choices(),
        "ask_form": form,
    }


def shown(export: Export, user: Any, *, may_export: bool) -> dict[str, Any]:
    """The page of an export."""
    is_done, is_open = export.state == ExportState.DONE, export.state in _OPEN
    checkpoint = Checkpoint.objects.filter(count=export.segments).first() if export.segments else None
    now = timezone.now()
    return {
        "title": _("Export of %(when)s UTC") % {"when": f"{export.created_at:%Y-%m-%d %H:%M}"},
        "export": export,
        "mark": export_mark(export.state),
        "file": file_name(export),
        "by": asked_by(export),
        "sentences": describe_filter(export.filter),
        "table": table_label(export.table),
        "is_open": is_open,
        "step": _step(export, now),
        "percent": 100 * export.position // export.total if export.total else None,
        "checkpoint": checkpoint,
        "contents": contents(export),
        "downloads": _downloads(export, user),
        "may_export": may_export,
        "may_cancel": is_open and may_export,
        "is_there": is_done and export.archive.exists(),
        "looked_at": now,
    }


def _downloads(export: Export, user: Any) -> Sequence[Download]:
    """As the audit log has them, the newest first."""
    found = Entry.objects.filter(stream=export.stream, action="export.downloaded")
    taken = list(found.order_by("-stream_seq")[:_SHOWN])
    return [
        Download(told.actor, each.at) for told, each in zip(tell_entries(taken, user), taken, strict=True)
    ]


def _step(export: Export, now: datetime) -> str:
    if export.state == ExportState.WAITING:
        return _("Waits for a worker, which begins within seconds. It goes on without this page.")
    if export.total is None:
        return _("Chooses the events.")
    if export.position < export.total:
        told = {"position": f"{export.position:,}", "total": f"{export.total:,}"}
        return _("Writes rows: %(position)s of %(total)s events.") % told + _pace(export, now)
    return _("Writes the evidence and packs the archive.")


def _pace(export: Export, now: datetime) -> str:
    """How quickly, and how long that will go on; once there is something to go by."""
    spent = (now - export.snapshot_at).total_seconds() if export.snapshot_at else 0.0
    if not export.position or spent < 1:
        return ""
    pace = export.position / spent
    left = ((export.total or 0) - export.position) / pace
    told = {"pace": f"{pace:,.0f}", "left": long_duration(max(1, left))}
    return _(" %(pace)s events a second, about %(left)s left.") % told
