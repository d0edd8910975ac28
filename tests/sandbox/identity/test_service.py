"""The identity service's entities over HTTP."""

from typing import Any

import pytest

from sandbox.identity import IdentityService
from tests.sandbox.client import Client

pytestmark = pytest.mark.pure

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


@pytest.mark.parametrize(("collection", "total"), [("users", 7), ("groups", 3), ("files", 3)])
def test_lists_are_numbered_from_0_and_state_the_total(
    call_identity: Client, collection: str, total: int
) -> None:
    everything = call_identity("GET", f"/api/{collection}").json()
    assert (len(everything["resources"]), everything["totalResults"]) == (total, total)
    page = call_identity("GET", f"/api/{collection}?startIndex=1&count=1").json()
    assert page["resources"] == [everything["resources"][1]]
    assert (page["startIndex"], page["itemsPerPage"], page["totalResults"]) == (1, 1, total)


def test_every_change_raises_the_version_and_never_turns_the_clock_back(call_identity: Client) -> None:
    before = call_identity("GET", ANNA).json()
    patched = call_identity("PATCH", ANNA, {"locale": "sv", "version": 99, "id": "X"}).json()
    assert (patched["id"], patched["version"], patched["locale"]) == ("IDNUMBER1234", 2, "sv")
    assert patched["emails"] == before["emails"]
    put = call_identity("PUT", ANNA, {"username": "anna"}).json()
    assert (put["version"], "emails" in put, put["meta"]["created"]) == (3, False, before["meta"]["created"])
    assert put["meta"]["lastModified"] >= patched["meta"]["lastModified"] >= before["meta"]["lastModified"]


def test_an_address_is_verified_by_a_request(call_identity: Client) -> None:
    emails = [{"address": "new@example.com"}, {"address": "old@example.com", "verified": False}]
    call_identity("PATCH", ANNA, {"emails": emails})
    first = call_identity("POST", f"{ANNA}/verify")
    assert first.json()["emails"] == [{"address": "new@example.com", "verified": True}, emails[1]]
    both = call_identity("POST", "/api/rest/v1/user/IDNUMBER1234/verify", {"address": "old@example.com"})
    assert [email["verified"] for email in both.json()["emails"]] == [True, True]
    assert call_identity("POST", f"{ANNA}/verify", {"address": "other@example.com"}).status_code == 400
    assert call_identity("POST", f"{ANNA}/verify", {"address": 1}).status_code == 400
    assert call_identity("POST", "/api/users/NOBODY/verify").status_code == 404


def test_an_entity_can_be_created_once_and_deleted_once(call_identity: Client) -> None:
    body = {"id": "FILE-1", "name": "Price list", "size": 10}
    assert call_identity("POST", "/api/files", body).status_code == 201
    assert call_identity("POST", "/api/files", body).status_code == 409
    assert call_identity("DELETE", "/api/files/FILE-1").status_code == 204
    answer = call_identity("GET", "/api/files/FILE-1")
    assert answer.status_code == 404
    assert answer.json() == {"errorMessage": "There is no file with this id.", "statusCode": 404}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("users", {}),
        ("users", {"username": ""}),
        ("users", {"username": "x", "emails": "a@b.c"}),
        ("users", {"username": "x", "emails": [{"address": "nobody"}]}),
        ("users", {"username": "x", "name": {"givenName": 1}}),
        ("users", {"username": "x", "id": "a/b"}),
        ("users", {"username": "x", "id": "a\r\nb"}),
        ("users", {"username": "x", "id": ".."}),
        ("groups", {"name": "x", "members": [1]}),
        ("files", {"name": "x", "ownerId": []}),
    ],
)
def test_an_entity_that_the_pages_could_not_show_is_refused(
    identity: IdentityService, call_identity: Client, path: str, body: Any
) -> None:
    answer = call_identity("POST", f"/api/{path}", body)
    assert (answer.status_code, answer.json()["statusCode"]) == (400, 400)
    assert len(identity.list_records(path)) == {"users": 7, "groups": 3, "files": 3}[path]
