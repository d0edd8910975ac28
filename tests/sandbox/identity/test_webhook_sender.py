"""Webhooks to the hub: their bytes, their signature, and the report of the answer."""

import json
import re
import time
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from sandbox.identity import IdentityService
from sandbox.identity.webhook_sender import MAX_LOG_ENTRIES
from tests.sandbox.client import Client
from tests.sandbox.conftest import SECRET
from tests.support.http.webhook_receiver import REFUSED, SUCCEEDED, Receiver

pytestmark = pytest.mark.pure

UPDATE = {"entityType": "USER", "id": "IDNUMBER1234", "eventType": "UPDATE"}


def test_the_example_of_the_contract_is_sent_byte_for_byte_and_signed(
    hub: Receiver, call_identity: Client
) -> None:
    moment = "2019-01-01T00:00:00Z"
    answer = call_identity("POST", "/api/notify", UPDATE | {"timestamp": moment, "webhookId": "msg_1"}).json()
    (webhook,) = hub.received
    example = (
        b'{"id":"IDNUMBER1234","entityType":"USER","eventType":"UPDATE","timestamp":"2019-01-01T00:00:00Z"}'
    )
    assert (webhook.path, webhook.body) == ("/webhooks/aurora", example)
    assert webhook.headers["content-type"] == "application/json"
    assert webhook.headers["webhook-id"] == "msg_1"
    assert Webhook(SECRET).verify(webhook.body, webhook.headers) == json.loads(example)
    assert (answer["status"], answer["json"], json.loads(answer["body"])) == (200, SUCCEEDED, SUCCEEDED)
    assert answer["request"]["body"].encode() == example
    assert answer["request"]["headers"]["webhook-signature"] == webhook.headers["webhook-signature"]


def test_the_independent_check_refuses_another_body(hub: Receiver, identity: IdentityService) -> None:
    identity.notify("USER", "IDNUMBER1234")
    (webhook,) = hub.received
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(webhook.body + b" ", webhook.headers)


def test_without_a_timestamp_it_is_this_second(hub: Receiver, identity: IdentityService) -> None:
    # Without an argument, `gmtime` reads a clock that runs some milliseconds behind.
    earliest = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time()))
    identity.notify("USER", "IDNUMBER1234")
    stamp = hub.received[0].json()["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp)
    assert earliest <= stamp <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time()))


def test_optional_members_follow_in_the_order_of_the_contract(
    hub: Receiver, identity: IdentityService
) -> None:
    identity.notify("USER", "X", data={"é": 1}, previous={"email": "old@example.com"}, respond="ack")
    assert list(hub.received[0].json()) == [
        "id",
        "entityType",
        "eventType",
        "timestamp",
        "respond",
        "previous",
        "data",
    ]


def test_an_unsigned_webhook_goes_to_the_unsigned_source(hub: Receiver, call_identity: Client) -> None:
    call_identity("POST", "/api/notify", UPDATE | {"source": "unsigned"})
    (webhook,) = hub.received
    assert webhook.path == "/webhooks/aurora-unsigned"
    assert not [name for name in webhook.headers if name.startswith("webhook-")]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!"])
def test_without_a_usable_secret_nothing_is_sent_and_the_error_is_reported(
    hub: Receiver, secret: str
) -> None:
    with IdentityService(hub=hub.url, secret=secret) as identity:
        delivered = identity.notify("USER", "IDNUMBER1234")
        assert delivered.status is None
        assert "was not sent" in str(delivered.error)
        assert identity.sender.list_sent() == [delivered]
    assert hub.received == []


def test_an_unreachable_hub_is_reported_not_raised(call_identity: Client, identity: IdentityService) -> None:
    identity.sender.change_settings({"signed_url": "http://127.0.0.1:9/webhooks/aurora"})
    answer = call_identity("POST", "/api/notify", UPDATE)
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["error"]) == (None, "The hub could not be reached.")


def test_an_answer_that_is_not_json_is_given_as_text(hub: Receiver, call_identity: Client) -> None:
    hub.always(502, b"<h1>Bad gateway</h1>")
    answer = call_identity("POST", "/api/notify", UPDATE).json()
    assert (answer["status"], answer["body"], answer["json"]) == (502, "<h1>Bad gateway</h1>", None)


@pytest.mark.parametrize(
    ("query", "automatic", "sent"),
    [("", False, 0), ("?notify=1", False, 1), ("", True, 1), ("?notify=0", True, 0)],
)
def test_a_write_by_api_sends_only_where_it_is_wanted(
    hub: Receiver, identity: IdentityService, call_identity: Client, query: str, automatic: bool, sent: int
) -> None:
    hub.always(422, REFUSED)
    Client(identity.url)("PATCH", "/_sandbox/sender", {"automatic": automatic})
    call_identity("POST", f"/api/groups{query}", {"id": "G", "name": "New"})
    call_identity("PATCH", f"/api/groups/G{query}", {"name": "Newer"})
    answer = call_identity("DELETE", f"/api/groups/G{query}")
    assert [webhook.json()["eventType"] for webhook in hub.received] == ["CREATE", "UPDATE", "DELETE"] * sent
    assert answer.headers.get("X-Webhook-Status") == ("422" if sent else None)


@pytest.mark.parametrize(
    "wrong",
    [{"id": 5}, {"entityType": None}, {"timestamp": 1}, {"source": "carrier pigeon"}, {"webhookId": []}],
)
def test_a_webhook_that_cannot_be_sent_is_refused(
    hub: Receiver, call_identity: Client, wrong: dict[str, Any]
) -> None:
    assert call_identity("POST", "/api/notify", UPDATE | wrong).status_code == 400
    assert hub.received == []


def test_the_log_keeps_the_newest_and_no_setting_shows_the_secret(
    hub: Receiver, identity: IdentityService
) -> None:
    identity.sender.change_settings({"mode": "unsigned", "unsigned_url": "http://127.0.0.1:9/"})
    for number in range(MAX_LOG_ENTRIES + 5):
        identity.notify("USER", f"U{number}")
    control = Client(identity.url)
    listed = control("GET", "/_sandbox/webhooks").json()["webhooks"]
    assert [listed[0]["number"], listed[-1]["number"], len(listed)] == [
        6,
        MAX_LOG_ENTRIES + 5,
        MAX_LOG_ENTRIES,
    ]
    settings = control("GET", "/_sandbox/sender")
    assert settings.json()["secret"] is True
    assert SECRET not in settings.text


@pytest.mark.parametrize(
    "wrong", [{"mode": "maybe"}, {"signed_url": "ftp://x"}, {"colour": "red"}, {"automatic": 1}]
)
def test_a_sender_setting_that_makes_no_sense_is_refused(
    identity: IdentityService, wrong: dict[str, Any]
) -> None:
    before = identity.sender.settings
    assert Client(identity.url)("PATCH", "/_sandbox/sender", wrong).status_code == 400
    assert identity.sender.settings == before
