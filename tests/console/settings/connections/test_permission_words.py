"""The page of a connection says what its credentials may not do, as its test found."""

import re
from typing import Any

import pytest
from django.test import Client

from connectors.presets import load_preset
from sync.models import Connection, Route
from tests.support.http.servers import Reply, SeenRequest, serving
from tests.support.hub import Hub
from tests.support.pages import visible_text
from tests.support.people import browser, entries

pytestmark = pytest.mark.concurrent
SECRET = "s3cret-shop-token"


def a_connection(url: str, **values: Any) -> Connection:
    return Connection.objects.create(
        **{
            "slug": "shop",
            "name": "The shop",
            "side": "target",
            "connector": "rest-target",
            "base_url": url,
            "authentication": {"scheme": "bearer"},
            "settings": load_preset("sandbox-shop")["settings"],
            "credentials": {"token": SECRET},
            "deadline_seconds": 5.0,
        }
        | values
    )


def after_testing(client: Client, of: Connection) -> str:
    return visible_text(client.post(f"/admin/sync/connection/{of.pk}/test/", follow=True))


def test_the_page_says_what_the_credentials_may_not_do(hub: Hub) -> None:
    hub.shop.faults.add("refuse", status=403, path="/api/segments", methods=["GET"])
    text = after_testing(browser("administrator"), Connection.objects.get(slug="shop"))
    assert re.search(r"Permissions of the credentials ✕ ", text)
    assert re.search(
        r"USER: read the list ✓ .{1,20} GET /api/customers: 200 · .{1,20} entities.USER.operations.list",
        text,
    )
    assert re.search(
        r"GROUP: read the list ✕ [^✓✕]+ GET /api/segments: 403 · .{1,20} entities\.GROUP\.operations\.list",
        text,
    )
    assert re.search(r"USER: create, update and delete – [^✓✕]+ OPTIONS /api/customers/{id}: 405", text)
    assert hub.writes() == []
    (entry,) = entries("connection.tested")
    assert entry["details"]["steps"]["permissions"] == "permissions-missing"


@pytest.mark.submission
def test_a_refused_type_that_no_route_uses_does_not_fail_the_test(hub: Hub) -> None:
    Route.objects.filter(entity_type="GROUP").update(is_enabled=False)
    hub.shop.faults.add("refuse", status=403, path="/api/segments", methods=["GET"])
    text = after_testing(browser("administrator"), Connection.objects.get(slug="shop"))
    assert "Permissions of the credentials ! " in text
    assert "GROUP: read the list ✕ " in text


@pytest.mark.django_db
def test_unproven_credentials_are_not_reported_as_passed() -> None:
    settings = {"entities": {"USER": {"path": "/users/{id}"}}}
    with serving(lambda _: Reply(404, {})) as service:
        of = a_connection(service.url, side="identity", connector="rest-identity", settings=settings)
        text = after_testing(browser("administrator"), of)
    assert "Credentials – " in text
    assert re.search(r"Sample call – [^✓✕]+ \(GET /users/{id}, 404\)", text)
    (entry,) = entries("connection.tested")
    assert entry["details"]["is_good"] is False


@pytest.mark.django_db
def test_a_scope_that_was_not_granted_is_named() -> None:
    def answer(seen: SeenRequest) -> Reply:
        if seen.path == "/oauth/token":
            return Reply(200, {"access_token": "t", "scope": "read"})
        return Reply(200, {"items": []})

    scheme = {
        "scheme": "oauth2-client-credentials",
        "token_path": "/oauth/token",
        "scope": "read customers:write",
    }
    credentials = {"client_id": "hub", "client_secret": SECRET}
    with serving(answer) as service:
        of = a_connection(service.url, authentication=scheme, credentials=credentials)
        text = after_testing(browser("administrator"), of)
    assert re.search(r"Scope of the token ✕ .{1,60} customers:write", text)
    assert "authentication.scope" in text
    assert SECRET not in text
