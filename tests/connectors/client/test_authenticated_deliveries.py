"""Deliveries to a target that demands a client certificate."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database

from sync.models import Call, Connection
from tests.support.connections import change_connection
from tests.support.http.client_certificates import Authority
from tests.support.http.servers import Service, serving
from tests.support.hub import ANNA, Hub
from tests.support.targets import graphql_shop
from tests.support.targets.graphql_shop import GraphqlShop

pytestmark = pytest.mark.concurrent

AUTHORITY = Authority()
HUB = AUTHORITY.issue("hub")


@contextmanager
def deliveries_to(hub: Hub, service: Service, **values: Any) -> Iterator[Connection]:
    """Let the hub deliver to a target with these values of its connection."""
    shop = Connection.objects.get(slug="shop")
    change_connection(shop, **{"base_url": service.url, "settings": graphql_shop.settings()} | values)
    shop.full_clean()
    yield shop
    hub.wait_until_idle()
    hub.wait_until_quiet()


def post(hub: Hub) -> dict[str, Any]:
    document: dict[str, Any] = hub.post_signed(
        {"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}
    ).json()
    return document


def stored_credentials() -> str:
    with database.cursor() as cursor:
        cursor.execute("SELECT credentials FROM sync_connection WHERE slug = 'shop'")
        return str(cursor.fetchone()[0])


def test_a_delivery_presents_the_certificate_and_a_refused_one_changes_nothing(
    hub: Hub, tmp_path: Path
) -> None:
    target = GraphqlShop()
    context = AUTHORITY.server_context(tmp_path, AUTHORITY)
    with (
        serving(target.answer, context) as service,
        deliveries_to(
            hub,
            service,
            authentication={"scheme": "bearer", "client_certificate": True},
            settings=graphql_shop.settings() | {"ca": AUTHORITY.pem},
            credentials={"token": graphql_shop.TOKEN, **HUB.credentials},
        ) as shop,
    ):
        assert post(hub)["status"] == "succeeded"
        assert len(target.customers) == 1
        assert {seen.client for seen in service.seen} == {"hub"}
        assert HUB.key.splitlines()[1] not in stored_credentials()
        sent = len(service.seen)
        stranger = Authority("Another Authority").issue("hub")
        shop.credentials = {"token": graphql_shop.TOKEN, **stranger.credentials}
        shop.save()
        hub.change_email("anna.new@example.com")
        refused = post(hub)
        assert refused["code"] == "target-credentials"
        assert len(service.seen) == sent
    newest = Call.objects.order_by("-pk")[0]
    assert (newest.status, newest.error) == (None, "target-credentials")
