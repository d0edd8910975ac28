"""Webhooks whose data a route uses, captured and sent again: nothing old comes back, whatever the source signs.

`test_relayed.py` holds the order of different webhooks; this module holds that one webhook counts once.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils import timezone

from sync.deliveries.routes import resolved_routes
from sync.erasure.erase import run_erasure
from sync.models import Delivery, Route
from tests.support.builders.erasure import InventedPerson, confirmed_erasure
from tests.support.connections import copy_connection
from tests.support.hub import ANNA, Hub
from tests.support.rows import in_submission
from webhooks.models import Event, Receipt, Source, SourceSecret, SubjectKey
from webhooks.receiving.source_cache import find_source

pytestmark = pytest.mark.concurrent

SECRET = "the-secret-of-the-sender-with-more-than-32-bytes"
REPLAYS = 6
Request = tuple[bytes, dict[str, str]]
Signer = Callable[[bytes, int], Request]


def mac(content: bytes) -> str:
    return hmac.digest(SECRET.encode(), content, "sha256").hex()


def token(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, SECRET, "HS256")


def sign_body(body: bytes, _: int) -> Request:
    return body, {"X-Signature": mac(body)}


def sign_standard(body: bytes, number: int) -> Request:
    signed = f"msg_{number}.{int(time.time())}"
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode() + b"." + body, "sha256"))
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return body, dict(zip(names, (*signed.split("."), f"v1,{signature.decode()}"), strict=True))


def sign_time(body: bytes, _: int, age: int = 0) -> Request:
    seconds = str(int(time.time()) - age)
    return body, {"X-Signature": f"t={seconds},v1={mac(seconds.encode() + b'.' + body)}"}


def sign_id(body: bytes, number: int) -> Request:
    return body, {"X-Signature": mac(f"{number}.".encode() + body), "X-Id": str(number)}


def sign_digest(body: bytes, number: int, **claims: Any) -> Request:
    return body, {"X-Token": token({"digest": hashlib.sha256(body).hexdigest()} | claims)}


def sign_digest_and_id(body: bytes, number: int) -> Request:
    return sign_digest(body, number, jti=f"token-{number}")


def send_token(body: bytes, _: int) -> Request:
    return token(json.loads(body)).encode(), {"Content-Type": "application/jwt"}


def send_static(**headers: str) -> Signer:
    return lambda body, _: (body, {name.replace("_", "-"): value for name, value in headers.items()})


def send_in_body(body: bytes, _: int) -> Request:
    return json.dumps(json.loads(body) | {"secret": SECRET}).encode(), {}


KEY = base64.b64encode(SECRET.encode()).decode()
JWT = {"algorithm": "HS256", "header": "X-Token", "digest_claim": "digest"}
HMAC_OF_ID = {"header": "X-Signature", "signed": ["{id}", ".", "{body}"], "id_header": "X-Id"}
BASIC = f"Basic {base64.b64encode(f'hub:{SECRET}'.encode()).decode()}"
# Name, scheme, settings, secret, how a request is made, and if the source signs a time or an id.
SCHEMES: list[tuple[str, str, dict[str, Any], str, Signer, bool]] = [
    ("standard", "standard-webhooks", {}, f"whsec_{KEY}", sign_standard, True),
    ("time", "timestamped-hmac", {"header": "X-Signature"}, SECRET, sign_time, True),
    ("id", "hmac", HMAC_OF_ID, SECRET, sign_id, True),
    ("token with an id", "jwt", JWT | {"id_claim": "jti"}, SECRET, sign_digest_and_id, True),
    ("body", "body-hmac", {"header": "X-Signature"}, SECRET, sign_body, False),
    ("hmac of the body", "hmac", {"header": "X-Signature"}, SECRET, sign_body, False),
    ("token", "jwt", JWT, SECRET, sign_digest, False),
    ("token as the body", "jwt", {"algorithm": "HS256"}, SECRET, send_token, False),
    ("bearer", "bearer", {}, SECRET, send_static(Authorization=f"Bearer {SECRET}"), False),
    ("basic", "basic", {}, f"hub:{SECRET}", send_static(Authorization=BASIC), False),
    ("header", "header", {"header": "X-Key"}, SECRET, send_static(X_Key=SECRET), False),
    ("secret in the body", "body-secret", {"field": "secret"}, SECRET, send_in_body, False),
]
BY_NAME = {row[0]: row for row in SCHEMES}
each_scheme = pytest.mark.parametrize("name", in_submission(BY_NAME, but=("standard", "bearer")))


class Sender:
    """A sender of one scheme. Its webhooks can be sent again as they were captured."""

    def __init__(self, hub: Hub, name: str) -> None:
        _, scheme, settings, secret, self._sign, self.signs_time_or_id = BY_NAME[name]
        self.hub, self.number = hub, 0
        Source.objects.filter(slug="aurora").update(scheme=scheme, scheme_settings=settings)
        self.source = Source.objects.get(slug="aurora")
        self.source.secrets.all().delete()
        SourceSecret.objects.create(source=self.source, value=secret, hint="test")
        find_source.invalidate()

    def capture(self, event_type: str, second: int | None = None, **fields: Any) -> Request:
        """Make a webhook. `second`: when it happened."""
        self.number += 1
        moment = {} if second is None else {"timestamp": f"2026-01-01T00:00:{second:02}Z"}
        body = {"id": ANNA, "entityType": "USER", "eventType": event_type} | moment | fields
        return self._sign(json.dumps(body).encode(), self.number)

    def change(
        self, email: str, second: int | None = None, event_type: str = "UPDATE", **fields: Any
    ) -> Request:
        """Make a webhook that carries Anna with this address."""
        entity = {"id": ANNA, "name": {"givenName": "Anna", "familyName": "Aalto"}, "locale": "fi"}
        address = {"address": email, "verified": True}
        return self.capture(event_type, second, data=entity | {"emails": [address]}, **fields)

    def send(self, request: Request) -> HttpResponse:
        body, headers = request
        return self.hub.client.post(
            "/webhooks/aurora",
            body,
            content_type=headers.get("Content-Type", "application/json"),
            headers={name: value for name, value in headers.items() if name != "Content-Type"},
        )

    def deliver(self, request: Request) -> Request:
        answer = self.send(request)
        assert (answer.status_code, answer.json()["status"]) == (200, "succeeded"), answer.content
        return request


@pytest.fixture
def relay(hub: Hub) -> Hub:
    """Yield a hub whose routes of people use the data of verified sources, and delete records."""
    Route.objects.filter(entity_type="USER").update(relays=True, when_deleted="delete")
    return hub


def email(hub: Hub) -> str | None:
    customer = hub.customer()
    return None if customer is None else customer["email"]


def assert_counts_once(sender: Sender, request: Request, first: HttpResponse) -> None:
    """Send a captured request again: it gets the first answer and writes nothing."""
    before, writes, events = email(sender.hub), len(sender.hub.writes()), Event.objects.count()
    for _ in range(REPLAYS):
        answer = sender.send(request)
        assert (answer.status_code, answer.content) == (first.status_code, first.content)
        assert answer["Webhook-Replayed"] == "true"
    assert (email(sender.hub), len(sender.hub.writes()), Event.objects.count()) == (before, writes, events)


@pytest.mark.promise("I34", "T2")
@each_scheme
def test_a_captured_webhook_brings_no_old_data_back_and_deletes_nothing_again(relay: Hub, name: str) -> None:
    sender = Sender(relay, name)
    seconds: list[int | None] = [None] * 4 if sender.signs_time_or_id else [1, 2, 3, 4]
    old = sender.change("old@example.com", seconds[0])
    first_of_old = sender.send(old)
    assert first_of_old.json()["status"] == "succeeded"
    assert_counts_once(sender, old, first_of_old)
    sender.deliver(sender.change("new@example.com", seconds[1]))
    assert_counts_once(sender, old, first_of_old)
    deletion = sender.capture("DELETE", seconds[2])
    first_of_deletion = sender.send(deletion)
    assert email(relay) is None
    assert_counts_once(sender, old, first_of_old)
    sender.deliver(sender.change("back@example.com", seconds[3], "CREATE"))
    assert_counts_once(sender, deletion, first_of_deletion)
    assert_counts_once(sender, old, first_of_old)
    assert email(relay) == "back@example.com"
    assert relay.identity.read_journal() == []


@pytest.mark.promise("I34")
@each_scheme
def test_two_equal_webhooks_are_two_changes_where_the_entity_is_fetched(hub: Hub, name: str) -> None:
    sender = Sender(hub, name)
    for address in ("first@example.com", "second@example.com"):
        hub.change_email(address)
        sender.deliver(sender.capture("UPDATE"))
        assert email(hub) == address
    assert Event.objects.count() == 2


@each_scheme
def test_a_webhook_without_a_time_is_refused_only_where_its_data_is_used_and_nothing_else_is_signed(
    relay: Hub, name: str
) -> None:
    sender = Sender(relay, name)
    answer = sender.send(sender.change("carried@example.com") if name != "body" else sender.capture("DELETE"))
    if sender.signs_time_or_id:
        assert answer.json()["status"] == "succeeded"
        return
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "missing-time")
    assert problem["errors"] == [{"pointer": "/timestamp", "code": "missing-time"}]
    receipt = Receipt.objects.select_related("payload__subject").get()
    assert receipt.payload is not None
    assert b"USER" in receipt.payload.decrypt()
    assert (Event.objects.count(), Delivery.objects.count(), relay.writes()) == (0, 0, [])
    # What the source does not handle is refused for nothing.
    assert sender.send(sender.capture("LOGIN")).json()["status"] == "ignored"


def test_an_id_in_the_body_is_no_time(relay: Hub) -> None:
    """Once retention has deleted the event, only its time would show that the data is old."""
    sender = Sender(relay, "body")
    answer = sender.send(sender.capture("DELETE", eventId="event-1"))
    assert (answer.status_code, answer.json()["code"]) == (400, "missing-time")


def test_other_bytes_of_the_same_time_are_another_change(relay: Hub) -> None:
    sender = Sender(relay, "body")
    for address in ("one@example.com", "two@example.com"):
        sender.deliver(sender.change(address, 1))
        assert email(relay) == address
    assert Event.objects.count() == 2


def test_an_old_time_is_old_after_its_event_was_deleted(relay: Hub) -> None:
    sender = Sender(relay, "body")
    old = sender.deliver(sender.change("old@example.com", 1))
    sender.deliver(sender.change("new@example.com", 2))
    Event.objects.update(event_id=None)
    assert sender.send(old).json()["status"] == "superseded"
    assert email(relay) == "new@example.com"


def test_a_webhook_that_failed_for_now_is_delivered_when_it_is_sent_again(relay: Hub) -> None:
    sender = Sender(relay, "body")
    request = sender.change("later@example.com", 1)
    relay.shop.faults.add("error", status=503)
    assert sender.send(request).status_code == 424
    relay.shop.faults.clear()
    assert sender.send(request).json()["status"] == "succeeded"
    assert (email(relay), Event.objects.count()) == ("later@example.com", 1)


def add_fetching_route(relay: Hub) -> None:
    """Add a second target whose route fetches the same people."""
    route = Route.objects.select_related("target").get(source__slug="aurora", entity_type="USER")
    shop = copy_connection(route.target, "second-shop", name="Second shop")
    route.pk, route.slug, route.target, route.relays, route._state.adding = None, "", shop, False, True
    route.save(force_insert=True)
    resolved_routes.invalidate()


@pytest.mark.promise("I34")
@pytest.mark.parametrize("name", ["body", "time"])
def test_a_route_that_fetches_beside_one_that_relays_fetches_each_time(relay: Hub, name: str) -> None:
    add_fetching_route(relay)
    sender = Sender(relay, name)
    request = sender.change("carried@example.com", 1)
    sender.send(request)
    for address in ("first@example.com", "second@example.com"):
        relay.change_email(address)
        assert sender.send(request).status_code == 200
        assert relay.writes()[-1]["body"]["email"] == address
    deliveries = Delivery.objects.order_by("event", "route").values_list("event", "target__slug")
    first, second, third = Event.objects.order_by("pk").values_list("pk", flat=True)
    assert list(deliveries) == [
        *((first, "shop"), (first, "second-shop")),
        *((second, "second-shop"), (third, "second-shop")),
    ]


FORMAT = {
    "events": "body.events",
    "id": "event.id",
    "entity_type": {"constant": "USER"},
    "event_type": {"constant": "UPDATE"},
    "occurred_at": "event.at",
    "data": "event.data",
}


def batch(*moments: str | None) -> bytes:
    events = [
        {
            "id": ANNA if index == 0 else f"OTHER{index}",
            "at": at,
            "data": {"emails": [{"address": f"{index}@x.fi"}]},
        }
        for index, at in enumerate(moments)
    ]
    return json.dumps({"events": events}).encode()


def test_a_batch_is_fetched_each_time_where_another_route_relays_it(relay: Hub) -> None:
    add_fetching_route(relay)
    sender = Sender(relay, "body")
    Source.objects.filter(slug="aurora").update(webhook_format=FORMAT)
    find_source.invalidate()
    request = sign_body(batch(*["2026-01-01T00:00:01Z"] * 2), 0)
    for number, address in enumerate(("first@example.com", "second@example.com"), 1):
        relay.change_email(address)
        assert sender.send(request).status_code == 202
        relay.wait_until_idle()
        assert Delivery.objects.filter(is_relayed=False).count() == 2 * number
    # Both routes lead to one shop here, so the first request has left what came last.
    assert email(relay) == address
    assert Delivery.objects.filter(is_relayed=True).count() == 2


def test_the_same_bytes_signed_at_another_time_are_another_webhook(relay: Hub) -> None:
    sender = Sender(relay, "time")
    [(first, _), (second, _)] = [sender.change(address) for address in ("one@example.com", "two@example.com")]
    for body, age, address in ((first, 20, "one"), (second, 10, "two"), (first, 0, "one")):
        sender.deliver(sign_time(body, 0, age))
        assert email(relay) == f"{address}@example.com"


@pytest.mark.promise("I34")
def test_events_of_a_captured_batch_count_once_and_those_without_a_time_are_listed(relay: Hub) -> None:
    sender = Sender(relay, "body")
    Source.objects.filter(slug="aurora").update(webhook_format=FORMAT)
    find_source.invalidate()
    request = sign_body(batch("2026-01-01T00:00:01Z", None), 0)
    first = sender.send(request)
    codes = [(result["status"], result.get("code")) for result in first.json()["results"]]
    assert (first.status_code, codes) == (202, [("accepted", None), ("refused", "missing-time")])
    relay.wait_until_idle()
    writes = len(relay.writes())
    for _ in range(REPLAYS):
        assert sender.send(request).status_code == 202
    relay.wait_until_idle()
    assert (Event.objects.count(), Delivery.objects.count(), len(relay.writes())) == (1, 1, writes)
    answer = sender.send(sign_body(batch(None, None), 0))
    assert (answer.status_code, answer.json()["code"]) == (400, "missing-time")


@pytest.mark.parametrize(
    ("changed", "may_be_relayed"),
    [
        ({}, True),
        ({"occurred_at": "body.sent_at || event.at"}, True),
        ({"occurred_at": "`null`"}, False),
        ({"occurred_at": {"constant": "2026-01-01T00:00:00Z"}}, False),
        ({"occurred_at": 'headers."x-time"'}, False),
        ({"occurred_at": "event.at || query.at"}, False),
        ({"events": "[{at: headers.at}]"}, False),
    ],
)
def test_a_time_counts_only_if_it_is_read_from_the_body_alone(
    relay: Hub, changed: dict[str, Any], may_be_relayed: bool
) -> None:
    """Both where the route is saved and where its source is; and a request is refused if neither was."""
    sender = Sender(relay, "body")
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    source = sender.source
    source.webhook_format = FORMAT | changed
    route.source = source
    for setting, row in (("webhook_format", source), ("relays", route)):
        if may_be_relayed:
            row.full_clean()
            continue
        with pytest.raises(ValidationError) as refused:
            row.full_clean()
        assert list(refused.value.message_dict) == [setting]
    # What has become impossible can still be disabled; and without the route, its source can be anything.
    source.is_enabled = False
    source.full_clean()
    source.is_enabled, route.is_enabled = True, False
    route.full_clean()
    route.save()
    source.full_clean()
    Source.objects.filter(pk=source.pk).update(webhook_format=source.webhook_format)
    Route.objects.filter(pk=route.pk).update(is_enabled=True)
    find_source.invalidate()
    resolved_routes.invalidate()
    body, headers = sign_body(batch("2026-01-01T00:00:01Z"), 0)
    answer = sender.send((body, headers | {"X-Time": "2026-01-01T00:00:01Z", "at": "2026-01-01T00:00:01Z"}))
    assert answer.status_code == (200 if may_be_relayed else 400), answer.content
    assert Event.objects.exists() is may_be_relayed


@each_scheme
def test_the_verification_decides_with_the_format_if_a_route_may_use_the_data(relay: Hub, name: str) -> None:
    sender = Sender(relay, name)
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    for webhook_format in ({}, {"occurred_at": "`null`"}):
        route.source.webhook_format = sender.source.webhook_format = webhook_format
        for row in (route, sender.source):
            if sender.signs_time_or_id or not webhook_format:
                row.full_clean()
            else:
                with pytest.raises(ValidationError):
                    row.full_clean()


def erase_anna() -> None:
    """Erase what the hub stores about Anna."""
    assert run_erasure(confirmed_erasure(InventedPerson(ANNA, "Anna", "anna@example.com")))


@pytest.mark.promise("I34", "I19")
@pytest.mark.parametrize("name", in_submission(BY_NAME, but=("body", "id")))
def test_a_captured_webhook_does_not_bring_an_erased_person_back(relay: Hub, name: str) -> None:
    """The erasure removes the ids of events; the pseudonym of the destroyed key stays, and says when that was."""
    sender = Sender(relay, name)
    old = sender.deliver(sender.change("old@example.com", None if sender.signs_time_or_id else 1))
    sender.deliver(sender.capture("DELETE", None if sender.signs_time_or_id else 2))
    erase_anna()
    for _ in range(REPLAYS):
        answer = sender.send(old)
        is_timeless = name in ("id", "token with an id")
        assert answer.json().get("code" if is_timeless else "status") == (
            "missing-time" if is_timeless else "superseded"
        )
    assert email(relay) is None
    # A person who comes back later is a new one.
    sender.deliver(sender.change("back@example.com", timestamp=f"{timezone.now().year + 1}-01-01T00:00:00Z"))
    assert email(relay) == "back@example.com"
    assert sender.send(old).status_code in (200, 400)
    assert email(relay) == "back@example.com"


def test_a_webhook_that_was_signed_long_after_an_erasure_begins_a_new_subject(relay: Hub) -> None:
    sender = Sender(relay, "time")
    sender.deliver(sender.change("old@example.com"))
    erase_anna()
    SubjectKey.objects.exclude(destroyed_at=None).update(destroyed_at=timezone.now() - timedelta(minutes=6))
    sender.deliver(sender.change("new@example.com"))


@pytest.mark.promise("I34")
@pytest.mark.parametrize("name", ["body", "time"])
def test_a_webhook_from_before_its_route_used_its_data_is_fetched(hub: Hub, name: str) -> None:
    """While the route fetched, to send a captured webhook again was harmless, so nothing recognizes it."""
    sender = Sender(hub, name)
    hub.change_email("first@example.com")
    old = sender.deliver(sender.change("old@example.com", 1))
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    route.relays = True
    route.save()
    resolved_routes.invalidate()
    hub.change_email("current@example.com")
    for _ in range(REPLAYS):
        assert sender.send(old).status_code == 200
        assert email(hub) == "current@example.com"
    after = f"{timezone.now().year + 1}-01-01T00:00:00Z"
    sender.deliver(sender.change("carried@example.com", timestamp=after))
    assert email(hub) == "carried@example.com"
    assert Route.objects.get(pk=route.pk).relays_since is not None
