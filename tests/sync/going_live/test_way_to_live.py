"""From the first observed webhook to a live route, between the two stand-ins."""

from html import unescape
from typing import Any

import pytest
from django.test import Client

from sync.going_live.modes import ModeChangeRefused, go_live
from sync.models import Delivery, Link, Route
from tests.support.builders.compared_systems import begin_comparison, compared_route, run_to_end
from tests.support.builders.observing_routes import deliver, observe
from tests.support.hub import ANNA, Hub
from tests.support.pages import visible_text
from tests.support.people import browser, entries, person

pytestmark = pytest.mark.concurrent

BODY = {"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}


def numbers(reader: Client, route: Route) -> dict[str, tuple[str, str]]:
    """Return both counts of each line on the page of the route."""
    page = reader.get(f"/admin/sync/route/{route.pk}/change/")
    assert "What it would do" in unescape(visible_text(page))
    return {row.label: (row.compared, row.observed) for row in page.context["expected"].rows}


@pytest.mark.submission
def test_what_was_observed_is_counted_and_written_only_after_the_route_went_live(hub: Hub) -> None:
    """Holds the whole way with real attempts: both sources of the numbers agree with what is then written."""
    hub.post_signed(BODY | {"respond": "result"})
    observe()
    address = hub.change_email("anna.observed@example.com")
    hub.post_signed(BODY)
    deliver(hub)
    reader = browser("support", "reader")
    writes, route = len(hub.writes()), compared_route()
    assert numbers(reader, route)["Records updated"] == ("", "1")
    comparison = run_to_end(begin_comparison())
    shown = numbers(reader, route)
    assert shown["Records updated"] == (str(comparison.counts["differs"]), "1")
    assert len(hub.writes()) == writes
    somebody: Any = person("administrator", "maija")
    go_live(route, by=somebody, reason="checked", comparison=comparison.uuid)
    with pytest.raises(ModeChangeRefused):
        go_live(route, by=somebody, reason="checked", comparison=comparison.uuid)
    assert entries("route.went-live")[0]["details"]["counts"]["differs"] == comparison.counts["differs"]
    assert hub.customer()["email"] != address, "observed events are not delivered later"
    hub.post_signed(BODY)
    deliver(hub)
    assert hub.customer()["email"] == address
    assert list(Delivery.objects.order_by("-pk").values_list("code", flat=True)[:2]) == [
        "succeeded",
        "observed",
    ]
    assert Link.objects.filter(entity_id=ANNA).count() == 1
