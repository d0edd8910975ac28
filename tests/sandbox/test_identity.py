"""The identity service: its entities over HTTP, and its webhooks to the hub."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from standardwebhooks.webhooks import Webhook

from sandbox.identity import IdentityService
from tests.sandbox.client import Client
from tests.sandbox.conftest import SECRET
from tests.support.http.webhook_receiver import REFUSED, SUCCEEDED, Receiver

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


ANNA = "/api/users/IDNUMBER1234"


def test_anna_has_the_shape_of_the_management_view(call_identity: Client) -> None:
    user = call_identity("GET", ANNA).json()
    assert user["meta"]["created"] == user["meta"]["lastModified"]
    del user["meta"]
    assert user == {
        "id": "IDNUMBER1234",
        "username": "anna.aalto",
        "name": {"givenName": "Anna", "familyName": "Aalto"},
        "emails": [{"address": "anna.aalto@example.com", "verified": True}],
        "mobiles": [{"number": "+358401234567"}],
        "memberOf": ["GROUPREGULARS"],
        "locale": "fi",
        "version": 1,
    }
    assert call_identity("GET", "/api/rest/v1/user/IDNUMBER1234").json()["id"] == "IDNUMBER1234"


def test_every_change_raises_the_version_and_never_turns_the_clock_back(call_identity: Client) -> None:
    before = call_identity("GET", ANNA).json()
    patched = call_identity("PATCH", ANNA, {"locale": "sv", "version": 99, "id": "X"}).json()
    assert (patched["id"], patched["version"], patched["locale"]) == ("IDNUMBER1234", 2, "sv")
    assert patched["emails"] == before["emails"]
    put = call_identity("PUT", ANNA, {"username": "anna"}).json()
    assert (put["version"], "emails" in put, put["meta"]["created"]) == (3, False, before["meta"]["created"])
    assert put["meta"]["lastModified"] >= patched["meta"]["lastModified"] >= before["meta"]["lastModified"]


def test_an_entity_can_be_created_once_and_deleted_once(call_identity: Client) -> None:
    body = {"id": "FILE-1", "name": "Price list", "size": 10}
    assert call_identity("POST", "/api/files", body).status_code == 201
    assert call_identity("POST", "/api/files", body).status_code == 409
    assert call_identity("DELETE", "/api/files/FILE-1").status_code == 204
    answer = call_identity("GET", "/api/files/FILE-1")
    assert answer.status_code == 404
    assert answer.json() == {"errorMessage": "There is no file with this id.", "statusCode": 404}


@pytest.mark.parametrize(
    "text",
    ["", 'name eq "x"', "meta.lastModified gt", 'meta.lastModified gt "soon"', 'meta.lastModified gt ""'],
)
def test_a_filter_of_another_form_is_refused(call_identity: Client, text: str) -> None:
    answer = call_identity("GET", f"/api/users?{urlencode({'filter': text})}")
    assert (answer.status_code, "meta.lastModified gt" in answer.json()["errorMessage"]) == (400, True)


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


def test_an_unsigned_webhook_goes_to_the_unsigned_source(hub: Receiver, call_identity: Client) -> None:
    call_identity("POST", "/api/notify", UPDATE | {"source": "unsigned"})
    (webhook,) = hub.received
    assert webhook.path == "/webhooks/aurora-unsigned"
    assert not [name for name in webhook.headers if name.startswith("webhook-")]


def test_without_a_usable_secret_nothing_is_sent_and_the_error_is_reported(hub: Receiver) -> None:
    with IdentityService(hub=hub.url, secret="whsec_!!!") as identity:
        delivered = identity.notify("USER", "IDNUMBER1234")
        assert delivered.status is None
        assert "was not sent" in str(delivered.error)
        assert identity.sender.list_sent() == [delivered]
    assert hub.received == []


@pytest.mark.parametrize(
    ("query", "automatic", "sent"),
    [("", False, 0), ("?notify=1", False, 1), ("", True, 1)],
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
    [{"id": 5}, {"source": "carrier pigeon"}],
)
def test_a_webhook_that_cannot_be_sent_is_refused(
    hub: Receiver, call_identity: Client, wrong: dict[str, Any]
) -> None:
    assert call_identity("POST", "/api/notify", UPDATE | wrong).status_code == 400
    assert hub.received == []
