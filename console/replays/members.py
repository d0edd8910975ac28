"""List the events of one bulk replay by their result, page by page, oldest first."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils.translation import gettext as _

from audit.export.line_formats import REQUESTER_COLUMN, Row, csv_lines, with_requester
from console.base.forms import parse_pk
from console.replays.words import (
    count_text,
    counts_by_state,
    member_label,
    member_text,
    reason_text,
    what_text,
)
from console.ui.event_filters import SystemNames, load_system_names
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
        rows = rows.filter(pk__gt=last) if replay.makes_equal else rows.filter(event__gt=last)
    # One event more than a page holds tells whether there is a next page.
    members = list(rows.select_related("event__source")[: PAGE_SIZE + 1])
    systems = load_system_names()
    params = {name: value for name, value in (("member", state), ("why", why)) if value}
    return {
        "title": what_text(replay) if replay.makes_equal else _("Events of this replay"),
        "replay": replay,
        "heading": _page_heading(replay, state, why, systems),
        "rows": [
            (member, member_text(member.state, member.why, replay, systems)) for member in members[:PAGE_SIZE]
        ],
        "tabs": _state_tabs(replay, state),
        "next": "?" + urlencode({**params, "after": _position(replay, members[PAGE_SIZE - 1])})
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
    rows = PersonRequestMember.objects.filter(person_request=replay)
    rows = rows.order_by("pk" if replay.makes_equal else "event")
    rows = rows.filter(state=state) if state else rows
    return rows.filter(why=why) if why else rows


def _page_heading(replay: PersonRequest, state: str, why: str, systems: SystemNames) -> str:
    label = member_label(replay, state).capitalize() if state else count_text(replay, replay.total)
    return f"{label}: {reason_text(state, why, replay, systems)}" if state and why else label


def csv_rows(rows: Any, requester: str) -> Iterator[str]:
    """Yield the members as CSV in constant memory. No cell can be taken for a formula by a spreadsheet."""
    related = rows.select_related("event__source", "person_request__route__source")
    cells = map(_member_cells, related.iterator(chunk_size=1000))
    yield from csv_lines(CSV_COLUMNS, with_requester(cells, requester))


def _member_cells(member: PersonRequestMember) -> Row:
    return [*_member_facts(member), member.state, member.why, member.at.isoformat()]


def _member_facts(member: PersonRequestMember) -> Row:
    """Return reference, source, type and entity of a member's event; without a reference until it is made."""
    event, route = member.event, member.person_request.route
    if event is not None:
        return [event.reference, event.source.slug, event.event_type, event.entity_type, event.entity_id]
    assert route is not None, "only an entity of a route has no event"
    return ["", route.source.slug, member.event_type, route.entity_type, member.entity_id]


def _position(replay: PersonRequest, member: PersonRequestMember) -> int | None:
    return member.pk if replay.makes_equal else member.event_id
