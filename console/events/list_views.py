"""The views of the event list as tabs, and the sentence about its search term."""

from collections.abc import Iterable, Mapping

from django.utils.translation import gettext as _

from console.ui.event_filters import EVENT_FILTERS
from console.ui.filters import ViewTab
from console.ui.outcome_texts import describe_code
from sync.search.event_filter import NEEDS_ATTENTION
from sync.search.event_search import SearchKind, SearchMatch
from webhooks.models import Receipt, State


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


def search_sentence(search: SearchMatch) -> str:
    """Return how the search term was understood; empty if there was none."""
    if search.receipt is not None:
        return _receipt_sentence(search.receipt)
    return {
        SearchKind.EVENT: _("Event with this reference."),
        SearchKind.EVENT_END: _("Event whose reference ends like this."),
        SearchKind.EVENT_PAGE: _("Event of this page."),
        SearchKind.ATTEMPT_KEY: _("Event whose delivery sent requests with this key."),
        SearchKind.RECEIPT_OF_EVENT: _("Event of the request with this reference."),
        SearchKind.EVENT_ID: _("Event with this event id."),
        SearchKind.ENTITY: _("All events of the entity %(term)s.") % {"term": search.term},
        SearchKind.NOTHING: _(
            "Nothing found for “%(term)s”. Enter a reference or its end, an event id or an entity id: exact "
            "match only. To find a person by name, e-mail address or customer number, use the search box at the "
            "top of the page."
        )
        % {"term": search.term},
    }.get(search.match, "")


def _receipt_sentence(receipt: Receipt) -> str:
    """Describe a request that was not a webhook, and the response to it."""
    answer = (
        f"{receipt.status} “{describe_code(receipt.code).title}”" if receipt.status else _("no response yet")
    )
    when = f"{receipt.received_at:%Y-%m-%d %H:%M:%S} UTC"
    return _("Invalid request from %(source)s at %(when)s. Response: %(response)s.") % {
        "source": receipt.source,
        "when": when,
        "response": answer,
    }
