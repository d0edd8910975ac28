"""An answer to a source is stored as final only if the outcome cannot change without a person."""

import json
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.attempts.event_outcome import load_event_outcome
from sync.models import Connection
from tests.support.builders.history import (
    a_delivery,
    a_route,
    a_source,
    an_attempt,
    an_event,
    sealed_findings,
)
from webhooks.models import Event, event_state
from webhooks.receiving.answers import outcome_answer

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("states", "is_final"),
    [
        (("dead", "running"), False),
        (("dead", "retrying"), False),
        (("succeeded", "held"), False),
        (("dead", "succeeded"), True),
    ],
)
def test_a_failure_in_one_system_is_not_final_while_another_delivery_is_open(
    states: tuple[str, ...], is_final: bool
) -> None:
    source = a_source()
    event = an_event(1, source=source, state=states[0])
    for number, state in enumerate(states):
        shop = Connection.objects.create(
            slug=f"shop-{number}", side="target", connector="rest-target", base_url="https://x.test"
        )
        claimed = {"token": uuid4(), "lease_until": event.received_at} if state == "running" else {}
        a_delivery(event, a_route(source, target=shop), state=state, **claimed)
    assert load_event_outcome(event).is_final is is_final


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("unchanged", "succeeded"), "succeeded"),
        (("ignored", "succeeded", "superseded"), "succeeded"),
        (("superseded", "ignored", "unchanged"), "unchanged"),
        (("succeeded", "closed"), "closed"),
        (("succeeded", "pending"), "pending"),
        (("retrying", "held", "dead"), "dead"),
        ((), "ignored"),
    ],
)
def test_a_delivery_without_anything_to_do_hides_no_change(states: tuple[str, ...], expected: str) -> None:
    assert event_state(list(states)) == expected


@pytest.mark.parametrize("code", ["identity-missing", "identity-unavailable"])
def test_a_failure_of_the_identity_service_names_the_identity_service(code: str) -> None:
    source = a_source()
    event = an_event(1, source=source, state="dead", code=code)
    a_delivery(event, a_route(source))
    with CaptureQueriesContext(connection) as queries:
        outcome = load_event_outcome(event)
    assert len(queries) == 2, "deliveries with their connections, and attempts"
    (result,) = outcome.results
    assert (result.connection, result.connection_name) == ("shop", "Aurora ID")
    answer = outcome_answer(outcome, "en", reference="R", location_of=str, is_signed=True)
    document = json.loads(answer.body)
    assert "shop" not in f"{document['title']} {document['detail']}"
    assert [result["connection"] for result in document["results"]] == ["shop"]


@pytest.mark.parametrize("speaks", ["identity", "target"])
def test_an_error_message_is_passed_on_if_its_connection_allows_it(speaks: str) -> None:
    source = a_source()
    event = an_event(1, source=source, state="dead", code="identity-rejected")
    delivery = a_delivery(event, a_route(source), state="dead", code="identity-rejected")
    findings = sealed_findings(answer={"sentence": "Ask the registry."})
    an_attempt(delivery, 1, code="identity-rejected", findings=findings)
    Connection.objects.update(relays_sentences=False)
    Connection.objects.filter(side=speaks).update(relays_sentences=True)
    (result,) = load_event_outcome(Event.objects.get()).results
    assert result.sentence == ("Ask the registry." if speaks == "identity" else None)


def test_a_failure_of_the_shop_names_the_shop() -> None:
    source = a_source()
    event = an_event(1, source=source, state="dead", code="target-timeout")
    a_delivery(event, a_route(source))
    assert [result.connection_name for result in load_event_outcome(event).results] == ["The shop"]
