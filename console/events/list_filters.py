"""Define the filters of the event list as chips, and its views as tabs."""

from collections.abc import Iterable, Mapping

from django.utils.translation import gettext as _

from console.ui.chips import FilterBar, FilterChip, FilterParams, ViewTab
from console.ui.outcome_texts import describe_code, state_name
from sync.search.event_filter import EVENT_TYPES, FILTER_PARAMS, NEEDS_ATTENTION, OTHER_TYPE
from sync.search.event_search import SearchKind, SearchMatch
from webhooks.catalogue.codes import CATALOGUE
from webhooks.models import Receipt, State

FILTER_BAR = FilterBar(FILTER_PARAMS, "received")
# Reasons that an event failed or waits. A request that was refused has no event, so its codes are left out.
FAILURE_CODES = tuple(
    code for code, entry in CATALOGUE.items() if entry.status in (409, 422, 424) and entry.owner != "sender"
)


def filter_chips(params: FilterParams, sources: Iterable[tuple[str, str]]) -> list[FilterChip]:
    """Return all chips. Filters that only a link can set (an entity) have one if they are set."""
    chips = [
        FILTER_BAR.time_chip(params, _("Received")),
        FILTER_BAR.value_chip(params, "state", _("Status"), _state_options()),
        _reason_chip(params),
        FILTER_BAR.value_chip(
            params,
            "event_type",
            _("Type"),
            [*((event_type, event_type) for event_type in EVENT_TYPES), (OTHER_TYPE, _("Other"))],
        ),
        FILTER_BAR.value_chip(params, "source", _("Source"), sources),
    ]
    for name, label in (
        ("target", _("Connection")),
        ("waits_for", _("Waiting for")),
        ("entity_type", _("Entity type")),
        ("entity_id", _("Entity")),
    ):
        if value := params.get(name):
            chips.append(FILTER_BAR.value_chip(params, name, label, [(value, value)]))
    return chips


def _state_options() -> list[tuple[str, str]]:
    return [
        (NEEDS_ATTENTION, _("Needs attention")),
        *((str(state.value), state_name(state)) for state in State),
    ]


def _reason_chip(params: FilterParams) -> FilterChip:
    """Return the chip of failure reasons. It selects failed events, unless another state is selected."""
    values = sorted(
        ((code, describe_code(code).title) for code in FAILURE_CODES), key=lambda reason: reason[1]
    )
    within = params if params.get("code") else {**params, "state": params.get("state") or State.DEAD.value}
    return FILTER_BAR.value_chip(within, "code", _("Reason"), values)


def view_tabs(
    params: FilterParams, counts: Mapping[str, str], saved: Iterable[tuple[int, str, str]]
) -> list[ViewTab]:
    """Return the predefined views, then the saved ones (key, name, query)."""
    views = [
        ("", _("All events"), {}),
        ("attention", _("Needs attention"), {"state": NEEDS_ATTENTION}),
        ("retrying", _("Retrying"), {"state": State.RETRYING.value}),
        ("", _("Ignored today"), {"state": f"{State.IGNORED},{State.SUPERSEDED}", "received": "24"}),
    ]
    here = FILTER_BAR.build_query(params)
    tabs = [
        ViewTab(name, FILTER_BAR.build_query(view), FILTER_BAR.build_query(view) == here, counts.get(key, ""))
        for key, name, view in views
    ]
    return tabs + [ViewTab(name, f"?{query}", f"?{query}" == here, key=key) for key, name, query in saved]


def search_sentence(search: SearchMatch) -> str:
    """Return how the search term was understood; empty if there was none."""
    if search.receipt is not None:
        return _receipt_sentence(search.receipt)
    return {
        SearchKind.EVENT: _("Event with this reference."),
        SearchKind.EVENT_PAGE: _("Event of this page."),
        SearchKind.ATTEMPT_KEY: _("Event whose delivery sent requests with this key."),
        SearchKind.RECEIPT_OF_EVENT: _("Event of the request with this reference."),
        SearchKind.EVENT_ID: _("Event with this event id."),
        SearchKind.ENTITY: _("All events of the entity %(term)s.") % {"term": search.term},
        SearchKind.NOTHING: _(
            "Nothing found for “%(term)s”. Enter a complete reference, event id or entity id: exact "
            "match only. Names and e-mail addresses cannot be searched, because the hub stores them "
            "encrypted; find the person's id in the identity service."
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
