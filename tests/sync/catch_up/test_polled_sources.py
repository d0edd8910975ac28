"""A polled source attaches a system that sends nothing: no address, no secret, and the events of catch-ups."""

import pytest
from django.core.exceptions import ValidationError

from sync.deliveries.routes import resolved_routes
from sync.execution.executor import run_due_deliveries
from sync.models import Delivery
from tests.support.builders.changing_people import ChangingPeople, caught_up, people_route, run_catch_up
from tests.support.hub import Hub
from webhooks.models import Refusal, Source
from webhooks.protocol.schemes import new_secret
from webhooks.receiving.source_cache import find_source

pytestmark = pytest.mark.concurrent


@pytest.fixture
def polled(people: ChangingPeople) -> Source:
    """The source of the route of people, polled from now on."""
    source = people_route().source
    source.scheme, source.scheme_settings, source.silence_minutes = "polled", {}, None
    source.handshake, source.webhook_format, source.default_mode = {}, {}, "result"
    source.full_clean()
    source.save()
    find_source.invalidate()
    resolved_routes.invalidate()
    return source


def test_changes_of_a_polled_source_are_delivered(hub: Hub, people: ChangingPeople, polled: Source) -> None:
    people.change("P0", ago=60)
    run_catch_up()
    run_due_deliveries()
    hub.wait_until_idle()
    assert caught_up() == ["P0"]
    assert list(Delivery.objects.values_list("state", "code")) == [("succeeded", "succeeded")]
    customer = hub.customer("P0")
    assert customer is not None
    assert customer["last_name"] == "P0"


@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
def test_its_address_answers_as_that_of_an_unknown_source(hub: Hub, polled: Source, method: str) -> None:
    body = b'{"id":"P0","entityType":"USER","eventType":"UPDATE"}'
    answers = [
        hub.client.generic(method, f"/webhooks/{slug}", body, "application/json")
        for slug in (polled.slug, "nobody")
    ]
    known, unknown = ((answer.status_code, answer.content, answer.headers.get("Allow")) for answer in answers)
    assert known == unknown
    assert polled.events.count() == 0
    assert set(Refusal.objects.values_list("source", flat=True)) <= {None}


def test_it_has_no_secret_no_silence_and_no_relaying_route(polled: Source) -> None:
    assert (polled.needs_secret, polled.is_signed, polled.may_be_relayed) == (False, False, False)
    with pytest.raises(ValueError, match="no secret"):
        new_secret("polled")
    polled.silence_minutes = 5
    with pytest.raises(ValidationError, match="late"):
        polled.full_clean()
