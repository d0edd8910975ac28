"""The views of the event list as tabs."""

from collections.abc import Iterable, Mapping

from django.utils.translation import gettext as _

from console.ui.event_filters import EVENT_FILTERS
from console.ui.filters import ViewTab
from sync.search.event_filter import NEEDS_ATTENTION
from webhooks.models import State


def view_tabs(here: str, counts: Mapping[str, str], saved: Iterable[tuple[int, str, str]]) -> list[ViewTab]:
    """Return the predefined views, then the saved ones (key, name, query). `here`: the query of the open list."""
    views = [
        ("", _("All events"), {}),
        ("attention", _("Needs attention"), {"state": NEEDS_ATTENTION}),
        ("retrying", _("Retrying"), {"state": State.RETRYING.value}),
        ("", _("Ignored today"), {"state": f"{State.IGNORED},{State.SUPERSEDED}", "received": "24"}),
    ]
    tabs = [
        ViewTab(name, query := EVENT_FILTERS.build_query(view), query == here, counts.get(key, ""))
        for key, name, view in views
    ]
    return tabs + [ViewTab(name, f"?{query}", f"?{query}" == here, key=key) for key, name, query in saved]
