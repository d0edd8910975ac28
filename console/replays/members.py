"""The events of one bulk replay: by what became of them, page by page, the oldest first."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils.translation import gettext as _

from audit.export.line_formats import Row, csv_lines
from console.base.forms import parse_pk
from console.replays.words import counts_by_state, member_label, member_text, reason_text
from console.ui.filter_text import SystemNames, count_events_text, load_system_names
from sync.models import Member, MemberState, Replay

PAGE_SIZE = 50
CSV_COLUMNS = ("reference", "source", "event_type", "entity_type", "entity_id", "became", "why", "at")


def members_context(request: HttpRequest, replay: Replay) -> dict[str, Any]:
    """The context of the page: one statement for its rows, with a cursor, so that no page costs more than another."""
    state, why = parse_member_filter(request)
    after = request.GET.get("after", "")
    rows = filter_members(replay, state, why)
    if (last := parse_pk(after)) is not None:
        rows = rows.filter(event__gt=last)
    found = list(rows.select_related("event__source")[: PAGE_SIZE + 1])
    systems = load_system_names()
    kept = {name: value for name, value in (("member", state), ("why", why)) if value}
    return {
        "title": _("Events of this replay"),
        "replay": replay,
        "heading": _page_heading(replay, state, why, systems),
        "rows": [(each, member_text(each.state, each.why, replay, systems)) for each in found[:PAGE_SIZE]],
        "tabs": _state_tabs(replay, state),
        "next": "?" + urlencode({**kept, "after": found[PAGE_SIZE - 1].event_id})
        if len(found) > PAGE_SIZE
        else "",
        "first": "?" + urlencode(kept) if after else "",
        "csv": "?" + urlencode({**kept, "format": "csv"}),
    }


def parse_member_filter(request: HttpRequest) -> tuple[str, str]:
    """What became of those that are asked for, and why; empty: all."""
    state, why = request.GET.get("member", ""), request.GET.get("why", "")[:48].replace("\0", "")
    return state if state in MemberState.values else "", why


def _state_tabs(replay: Replay, state: str) -> list[tuple[str, str, int, bool]]:
    """What there is of it, each with how many."""
    found = [("", _("All"), replay.total, state == "")]
    for key, count in counts_by_state(replay).items():
        if count or state == key:
            found.append((key, member_label(replay, key), count, state == key))
    return found


def filter_members(replay: Replay, state: str = "", why: str = "") -> Any:
    """Its members in the order in which they are sent."""
    rows = Member.objects.filter(replay=replay).order_by("event")
    rows = rows.filter(state=state) if state else rows
    return rows.filter(why=why) if why else rows


def _page_heading(replay: Replay, state: str, why: str, systems: SystemNames) -> str:
    told = member_label(replay, state).capitalize() if state else count_events_text(replay.total)
    return f"{told}: {reason_text(state, why, replay, systems)}" if state and why else told


def csv_rows(rows: Any) -> Iterator[str]:
    """Write the members as CSV in constant memory. No cell can be taken for a formula by a spreadsheet."""
    yield from csv_lines(
        CSV_COLUMNS, map(_member_cells, rows.select_related("event__source").iterator(chunk_size=1000))
    )


def _member_cells(member: Member) -> Row:
    event = member.event
    facts = (event.reference, event.source.slug, event.event_type, event.entity_type, event.entity_id)
    return [*facts, member.state, member.why, member.at.isoformat()]
