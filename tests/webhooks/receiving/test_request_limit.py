"""A source that sends too many requests gets Retry-After, and leaves one row."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client

from tests.support.hub import EXAMPLE, Hub
from tests.support.rows import each_row
from webhooks.models import Event, Payload, RateLimitState, Receipt, Refusal, Source
from webhooks.models.rate_limit import forget_quotas
from webhooks.receiving.refusals import refusal_counts
from webhooks.receiving.request_limit import TooManyRequests, retry_headers
from webhooks.receiving.request_verification import RequestRefused

pytestmark = pytest.mark.concurrent


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    forget_quotas()
    yield
    forget_quotas()


def limit(per_minute: int | None) -> Source:
    Source.objects.filter(slug="aurora-unsigned").update(requests_per_minute=per_minute, default_mode="ack")
    return Source.objects.get(slug="aurora-unsigned")


@pytest.mark.promise("T12")
def test_requests_beyond_the_limit_get_retry_after_and_are_not_stored(hub: Hub) -> None:
    limit(1)
    assert [hub.post(EXAMPLE).status_code for _ in range(10)] == [202] * 10
    hub.wait_until_idle()
    kept = {model: model.objects.count() for model in (Event, Receipt, Payload)}
    for _ in range(5):
        refused = hub.post(EXAMPLE)
        assert refused.status_code == 429
        assert refused["Content-Type"] == "application/problem+json"
        assert 1 <= int(refused["Retry-After"]) <= 60
        assert json.loads(refused.content)["code"] == "too-many-requests"
    assert {model: model.objects.count() for model in kept} == kept
    # Another source is not affected.
    assert hub.post_signed(EXAMPLE).status_code == 200
    refusals = list(Refusal.objects.values_list("code", "source__slug"))
    assert refusals == [("too-many-requests", "aurora-unsigned")] * len(refusals)
    assert 1 <= len(refusals) <= 2, "one row a minute"
    refusal_counts.flush()
    assert sum(Refusal.objects.values_list("times", flat=True)) == 5


def test_a_request_after_retry_after_is_accepted(hub: Hub) -> None:
    limit(12)
    assert [hub.post(EXAMPLE).status_code for _ in range(10)] == [202] * 10
    while (refused := hub.post(EXAMPLE)).status_code == 202:
        pass
    assert 1 <= int(refused["Retry-After"]) <= 5
    forget_quotas()
    row = RateLimitState.objects.get()
    row.free_at -= timedelta(seconds=int(refused["Retry-After"]))
    row.save()
    assert hub.post(EXAMPLE).status_code == 202


@pytest.mark.submission
def test_an_unverified_request_does_not_count(hub: Hub) -> None:
    Source.objects.filter(slug="aurora").update(requests_per_minute=1)
    for _ in range(30):
        assert hub.post(EXAMPLE, "aurora").status_code == 401
    assert not RateLimitState.objects.exists()
    assert hub.post_signed(EXAMPLE).status_code == 200


@pytest.mark.nightly  # a slow machine grants more meanwhile
def test_simultaneous_clients_are_admitted_up_to_the_burst(hub: Hub) -> None:
    limit(1)

    def send(_: int) -> int:
        try:
            return Client().post("/webhooks/aurora-unsigned", EXAMPLE, "application/json").status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(send, range(24)))
    assert sorted(set(statuses)) == [202, 429]
    assert statuses.count(202) == 10
    assert Event.objects.count() == 10


@each_row([(0.001, "1"), (1.0, "1"), (1.2, "2"), (59.4, "60"), (3_600.0, "60")])
def test_retry_after_is_an_integer_from_one_to_sixty(seconds: float, told: str) -> None:
    assert retry_headers(TooManyRequests(seconds)) == {"Retry-After": told}
    assert retry_headers(RequestRefused("bad-signature")) == {}


def test_a_new_source_has_a_limit_and_those_of_the_sandbox_have_none(hub: Hub) -> None:
    assert Source.objects.create(slug="new", name="New", scheme="none").requests_per_minute == 6_000
    sandbox = Source.objects.filter(slug__startswith="aurora").values_list("requests_per_minute", flat=True)
    assert set(sandbox) == {None}
