"""List the events of one bulk replay by their result, page by page, oldest first."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils.translation import gettext as _

from audit.export.line_formats import REQUESTER_COLUMN, Row, csv_lines, with_requester
from console.base.forms import parse_pk
from console.replays.words import counts_by_state, member_label, member_text, reason_text
from console.ui.event_filters import SystemNames, count_events_text, load_system_names
from sync.models import MemberState, PersonRequest, PersonRequestMember

PAGE_SIZE = 50
CSV_COLUMNS = (
    *("reference", "source", "event_type", "entity_type", "entity_id", "became", "why", "at"),
    REQUESTER_COLUMN,
)


def members_context(request: HttpRequest, replay: PersonRequest) -> dict[str, Any]:
    """Return the context of the page. A cursor makes every page cost one statement for its rows."""
    state, why = parse_member_filter(request)
    after = request.GET.get("after", "")
    rows = filter_members(replay, state, why)
    if (last := parse_pk(after)) is not None:
        rows = rows.filter(event__gt=last)
    # One event more than a page holds tells whether there is a next page.
    members = list(rows.select_related("event__source")[: PAGE_SIZE + 1])
    systems = load_system_names()
    params = {name: value for name, value in (("member", state), ("why", why)) if value}
    return {
        "title": _("Events of this replay"),
        "replay": replay,
        "heading": _page_heading(replay, state, why, systems),
        "rows": [
            (member, member_text(member.state, member.why, replay, systems)) for member in members[:PAGE_SIZE]
        ],
        "tabs": _state_tabs(replay, state),
        "next": "?" + urlencode({**params, "after": members[PAGE_SIZE - 1].event_id})
        if len(members) > PAGE_SIZE
        else "",
        "first": "?" + urlencode(params) if after else "",
        "csv": "?" + urlencode({**params, "format": "csv"}),
    }


def parse_member_filter(request: HttpRequest) -> tuple[str, str]:
    """Return the selected state and reason; empty means all."""
    state, why = request.GET.get("member", ""), request.GET.get("why", "")[:48].replace("\0", "")
    return state if state in MemberState.values else "", why


def _state_tabs(replay: PersonRequest, state: str) -> list[tuple[str, str, int, bool]]:
    """Return a tab for each state that has events, with their number."""
    tabs = [("", _("All"), replay.total, state == "")]
    for key, count in counts_by_state(replay).items():
        if count or state == key:
            tabs.append((key, member_label(replay, key), count, state == key))
    return tabs


def filter_members(replay: PersonRequest, state: str = "", why: str = "") -> Any:
    """Return the members of a replay in the order in which they are sent."""
    rows = PersonRequestMember.objects.filter(person_request=replay).order_by("event")
    rows = rows.filter(state=state) if state else rows
    return rows.filter(why=why) if why else rows


def _page_heading(replay: PersonRequest, state: str, why: str, systems: SystemNames) -> str:
    label = member_label(replay, state).capitalize() if state else count_events_text(replay.total)
    return f"{label}: {reason_text(state, why, replay, systems)}" if state and why else label


def csv_rows(rows: Any, requester: str) -> Iterator[str]:
    """Yield the members as CSV in constant memory. No cell can be taken for a formula by a spreadsheet."""
    cells = map(_member_cells, rows.select_related("event__source").iterator(chunk_size=1000))
    yield from csv_lines(CSV_COLUMNS, with_requester(cells, requester))


def _member_cells(member: PersonRequestMember) -> Row:
    event = member.event
    facts = (event.reference, event.source.slug, event.event_type, event.entity_type, event.entity_id)
    return [*facts, member.state, member.why, member.at.isoformat()]
