"""Key sets of senders: fetched from a real server, stored, and used by receiving, which calls nobody."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from django.utils import timezone

from sync.housekeeping.key_sets import KeySetUnavailable, fetch_new_key_set, refresh_key_sets
from tests.support.http.servers import Reply, Service, serving
from webhooks.models import KeySet, Receipt, Refusal, Source, find_key_set, key_set, request_key_set

pytestmark = pytest.mark.concurrent
CLIENT = Client(raise_request_exception=False)
FIRST, SECOND = (rsa.generate_private_key(65_537, 2_048) for _ in range(2))
BODY = json.dumps({"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"}).encode()


def jwk(private: Any, kid: str) -> dict[str, Any]:
    return jwt.get_algorithm_by_name("RS256").to_jwk(private.public_key(), as_dict=True) | {"kid": kid}


class Publisher:
    """A sender that publishes keys."""

    def __init__(self) -> None:
        self.reply = Reply(value={"keys": [jwk(FIRST, "k1")]})
        self.service: Service

    @property
    def url(self) -> str:
        return f"{self.service.url}/certs"

    @property
    def requests(self) -> int:
        return len(self.service.seen)


@pytest.fixture
def publisher(database: None) -> Iterator[Publisher]:
    own = Publisher()
    key_set._requested_at.clear()
    with serving(lambda _: own.reply) as service:
        own.service = service
        yield own


@pytest.fixture
def source(publisher: Publisher) -> Source:
    settings = {"algorithm": "RS256", "header": "Authorization", "jwks_url": publisher.url}
    source = Source(slug="sender", name="Sender", scheme="jwt", scheme_settings=settings)
    source.full_clean()
    source.save()
    return source


def send(private: Any = FIRST, kid: str = "k1") -> Any:
    token = jwt.encode({"iss": "me", "exp": int(time.time()) + 60}, private, "RS256", {"kid": kid})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    return CLIENT.generic("POST", "/webhooks/sender", BODY, headers=headers)


def pass_time(**ages: timedelta) -> None:
    """Move the stored times back."""
    row = KeySet.objects.get()
    for name, age in ages.items():
        setattr(row, name, getattr(row, name) - age)
    row.save()


def test_webhooks_are_refused_until_the_keys_were_fetched(source: Source, publisher: Publisher) -> None:
    assert send().status_code == 401
    assert publisher.requests == 0, "receiving called another system"
    assert refresh_key_sets() == 1
    assert send().status_code == 200
    assert publisher.requests == 1
    assert Receipt.objects.get().verified_by == "jwt"
    seen = publisher.service.seen[0]
    assert (seen.method, seen.path, seen.body) == ("GET", "/certs", b"")
    assert "authorization" not in {name.lower() for name in seen.headers}


def test_a_rotated_key_is_fetched_when_a_token_names_it(source: Source, publisher: Publisher) -> None:
    refresh_key_sets()
    publisher.reply = Reply(value={"keys": [jwk(SECOND, "k2")]})
    assert send(SECOND, "k2").status_code == 401
    assert refresh_key_sets() == 0, "less than a minute after the last request"
    pass_time(tried_at=timedelta(seconds=61))
    assert refresh_key_sets() == 1
    assert send(SECOND, "k2").status_code == 200
    assert send().status_code == 401


def test_keys_that_were_fetched_while_the_clock_ran_ahead_are_fetched_again(
    source: Source, publisher: Publisher
) -> None:
    refresh_key_sets()
    ahead = -timedelta(hours=3)
    pass_time(tried_at=ahead, refresh_at=ahead, fetched_at=ahead)
    publisher.reply = Reply(value={"keys": [jwk(SECOND, "k2")]})
    assert refresh_key_sets() == 1
    assert send(SECOND, "k2").status_code == 200
    assert refresh_key_sets() == 0


@pytest.mark.submission
def test_a_flood_of_unknown_keys_causes_one_request_a_minute(source: Source, publisher: Publisher) -> None:
    refresh_key_sets()
    for number in range(20):
        assert send(SECOND, f"unknown-{number}").status_code == 401
        refresh_key_sets()
    assert publisher.requests == 1
    assert set(Refusal.objects.values_list("code", flat=True)) == {"bad-signature"}  # a row a minute


def test_a_request_for_keys_is_one_statement_in_ten_seconds(
    source: Source, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        for _ in range(10):
            request_key_set(source.jwks_url)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 3_600),
        ("max-age=1", 300),
        ("public, max-age=600", 600),
        ("max-age=999999999", 3_600),
        ("max-age=x", 3_600),
    ],
)
def test_the_lifetime_is_bounded(source: Source, publisher: Publisher, header: str, seconds: int) -> None:
    publisher.reply.headers["Cache-Control"] = header
    refresh_key_sets()
    row = KeySet.objects.get()
    assert row.fetched_at is not None
    assert row.refresh_at - row.fetched_at == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "reply",
    [Reply(500, {"keys": []}), Reply(value={"keys": []}), Reply(value={"keys": [jwk(FIRST, "k1")] * 33})],
)
def test_a_bad_response_leaves_the_stored_keys(source: Source, publisher: Publisher, reply: Reply) -> None:
    refresh_key_sets()
    publisher.reply = reply
    pass_time(refresh_at=timedelta(hours=2), tried_at=timedelta(hours=2))
    assert refresh_key_sets() == 0
    assert publisher.requests == 2
    assert KeySet.objects.get().fault
    assert send().status_code == 200
    assert refresh_key_sets() == 0
    assert publisher.requests == 2, "it is not asked again at once"


def test_keys_that_could_not_be_fetched_for_a_day_are_not_used(source: Source, publisher: Publisher) -> None:
    refresh_key_sets()
    pass_time(fetched_at=timedelta(hours=23))
    find_key_set.invalidate()
    assert send().status_code == 200
    pass_time(fetched_at=timedelta(hours=2))
    find_key_set.invalidate()
    assert send().status_code == 401


def test_saving_fetches_at_once_and_says_why_it_could_not(source: Source, publisher: Publisher) -> None:
    fetch_new_key_set(publisher.url)
    assert send().status_code == 200
    fetch_new_key_set(publisher.url)
    assert publisher.requests == 1
    pass_time(tried_at=timedelta(minutes=2))
    publisher.reply = Reply(503)
    with pytest.raises(KeySetUnavailable, match="503"):
        fetch_new_key_set(publisher.url)


def test_a_key_set_that_no_source_needs_is_forgotten(source: Source, publisher: Publisher) -> None:
    refresh_key_sets()
    Source.objects.update(is_enabled=False)
    assert refresh_key_sets() == 0
    assert not KeySet.objects.exists()


def test_the_number_of_addresses_to_fetch_is_limited(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_set, "MAX_KEY_SETS", 3)
    for number in range(5):
        settings = {"algorithm": "RS256", "header": "X", "jwks_url": f"https://{number}.example.com/certs"}
        Source.objects.create(slug=f"s{number}", name="S", scheme="jwt", scheme_settings=settings)
    assert len(key_set.claim_due_key_sets(timezone.now())) == 3
