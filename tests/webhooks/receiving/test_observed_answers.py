"""Answers about routes that observe: nobody waits for them, and they decide no outcome of another route."""

from typing import Any

import pytest

from exports.row_checks.nightly_rows import find_row_faults
from sync.models import Connection, Delivery, Route
from tests.support.builders.event_batches import FORMAT, add_token, event, post, set_format
from tests.support.builders.observing_routes import deliver, go_live, observe
from tests.support.connections import copy_connection
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, Source, State
from webhooks.receiving.outcome_links import outcome_path

pytestmark = [pytest.mark.concurrent, pytest.mark.promise("I30")]

BODY = {"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}
OBSERVED = {"connection": "shop", "status": "observed", "action": "observed"}


@pytest.mark.parametrize("mode", ["ack", "result", "entity"])
def test_an_event_that_all_routes_observe_is_answered_at_once_whatever_was_asked(hub: Hub, mode: str) -> None:
    """Holds the row of the contract, and that its status page and a repeat say the same afterwards."""
    Source.objects.update(entity_fields=["emails"])
    observe()
    hub.identity.faults.add("slow", seconds=2)
    answer = hub.post_signed(BODY | {"respond": mode}, "msg_observed")
    reference = answer.json()["reference"]
    document = {"status": "observed", "reference": reference, "results": [OBSERVED]}
    assert (answer.status_code, answer.json()) == (200, document)
    assert Delivery.objects.get().state != State.IGNORED, "the answer waited for the delivery"
    hub.identity.faults.clear()
    deliver(hub)
    repeat = hub.post_signed(BODY | {"respond": mode}, "msg_observed")
    assert (repeat.headers["Webhook-Replayed"], repeat.content) == ("true", answer.content)
    go_live()
    assert hub.client.get(outcome_path(Event.objects.get().reference)).json() == document


@pytest.mark.parametrize(
    ("response_format", "status", "body"),
    [
        ({"format": "kratos"}, 204, b""),
        ({"format": "scim"}, 202, b""),
        ({"format": "custom", "answers": [{"states": ["accepted"], "status": 299}]}, 299, b""),
    ],
    ids=["kratos", "scim", "custom"],
)
def test_a_response_format_answers_as_if_the_event_was_accepted(
    hub: Hub, response_format: dict[str, Any], status: int, body: bytes
) -> None:
    Source.objects.update(response_format=response_format)
    observe()
    answer = hub.post_signed(BODY)
    assert (answer.status_code, answer.content) == (status, body)


@pytest.fixture
def second(hub: Hub) -> Route:
    """Return a route of the signed source to a second target, which the same shop plays."""
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    target = copy_connection(Connection.objects.get(pk=route.target_id), "crm", name="The CRM")
    route.pk, route.slug, route.target = None, "", target
    route.save(force_insert=True)
    return route


@pytest.mark.parametrize(
    ("fault", "status", "state"),
    [({}, 200, "succeeded"), ({"kind": "refuse"}, 422, "dead")],
    ids=["success", "failure"],
)
def test_a_live_route_alone_decides_the_outcome(
    hub: Hub, second: Route, fault: dict[str, Any], status: int, state: str
) -> None:
    """Holds that the answer does not wait for the other route, which cannot reach its target, and does not end it."""
    Connection.objects.filter(slug="crm").update(is_enabled=False)
    observe(pk=second.pk)
    hub.change_email("anna.new@example.com")
    if fault:
        hub.shop.faults.add(**fault)
    answer = hub.post_signed(BODY | {"respond": "result"})
    document = answer.json()
    assert answer.status_code == status
    assert OBSERVED | {"connection": "crm"} in document["results"]
    hub.shop.faults.clear()
    deliver(hub)
    assert Delivery.objects.get(route=second).state == State.RETRYING
    assert Event.objects.get().state == state
    assert list(find_row_faults()) == []
    Connection.objects.filter(slug="crm").update(is_enabled=True)
    Delivery.objects.filter(route=second).update(due_at=Event.objects.get().received_at)
    deliver(hub)
    assert Delivery.objects.get(route=second).code == "observed"
    assert Event.objects.get().state == state
    assert hub.client.get(outcome_path(document["reference"])).json()["results"] == document["results"]


def test_a_paused_route_that_observes_holds_no_answer_back(hub: Hub, second: Route) -> None:
    observe(pk=second.pk)
    Route.objects.filter(pk=second.pk).update(paused_at=second.updated_at)
    answer = hub.post_signed(BODY | {"respond": "result"})
    assert (answer.status_code, answer.json()["status"]) == (200, "unchanged")
    Delivery.objects.filter(state=State.PENDING).update(due_at=second.updated_at)
    deliver(hub)


@pytest.mark.parametrize("batch_response", ["ack", "result"])
def test_a_batch_says_of_each_event_whether_it_is_observed(hub: Hub, batch_response: str) -> None:
    add_token()
    set_format(FORMAT | {"batch_response": batch_response})
    observe(entity_type="USER")
    answer = post(hub, event(ANNA, uid="1"), event("NOBODY1", uid="2"))
    assert (answer.status_code, answer.json()["status"]) == (200, "observed")
    assert [result["status"] for result in answer.json()["results"]] == ["observed", "observed"]
    deliver(hub)
    repeat = post(hub, event(ANNA, uid="1"), event("NOBODY1", uid="2"))
    assert (repeat.json()["status"], repeat.json()["results"]) == ("observed", answer.json()["results"])
