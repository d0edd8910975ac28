"""No credential leaves for another place than the one that it was entered for, whatever is changed in the database.

No other test changes the rows of a configured hub past its models and looks at who receives the credentials.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from connectors.settings.authentication import credential_names
from sync.models import Connection, Route
from tests.support.connections import change_connection, copy_connection
from tests.support.http.servers import Reply, Service, serving
from tests.support.hub import ANNA, Hub
from tests.support.rows import in_submission

pytestmark = pytest.mark.concurrent

ENDPOINT = "http://127.0.0.1:9"


@pytest.fixture
def trap(hub: Hub) -> Iterator[Service]:
    """Run a server that accepts everything, at which no credential may arrive."""
    with serving(lambda _: Reply(200, {"access_token": "a" * 20, "items": []})) as service:
        yield service
        hub.wait_until_idle()
        hub.wait_until_quiet()


def execute(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def set_column(slug: str, column: str, value: Any) -> None:
    execute(f"UPDATE sync_connection SET {column} = %s WHERE slug = %s", value, slug)


def move_base_url(slug: str, trap: Service) -> None:
    set_column(slug, "base_url", trap.url)


def rename_host(slug: str, trap: Service) -> None:
    set_column(slug, "base_url", trap.url.replace("127.0.0.1", "localhost"))


def move_token_endpoint(slug: str, trap: Service) -> None:
    """The secret of a client goes to the token endpoint, not to the base URL."""
    set_column(slug, "authentication", json.dumps(token_endpoint(trap.url)))


def drop_token_endpoint(slug: str, trap: Service) -> None:
    """The base URL is another one, and is now the token endpoint too."""
    set_column(slug, "authentication", json.dumps(token_endpoint("") | {"token_path": "/token"}))
    set_column(slug, "base_url", trap.url)


def exchange_credentials(slug: str, trap: Service) -> None:
    """The token of each system would arrive at the other."""
    execute(
        "UPDATE sync_connection SET credentials = (SELECT o.credentials FROM sync_connection o"
        " WHERE o.slug <> sync_connection.slug AND o.slug IN ('aurora', 'shop'))"
        " WHERE slug IN ('aurora', 'shop')"
    )


def copy_into_row_of_trap(slug: str, trap: Service) -> None:
    add_trap(slug, trap)
    execute(
        "UPDATE sync_connection SET credentials = (SELECT o.credentials FROM sync_connection o WHERE o.slug = %s)"
        " WHERE slug = 'trap'",
        slug,
    )


def copy_with_its_id_into_row_of_trap(slug: str, trap: Service) -> None:
    copy_into_row_of_trap(slug, trap)
    copied = Connection.objects.get(slug=slug).uuid
    Connection.objects.filter(slug=slug).update(uuid=uuid4())
    Connection.objects.filter(slug="trap").update(uuid=copied)


def add_trap(slug: str, trap: Service) -> None:
    """Add a connection to the trap by the hub itself, and let all routes use it in place of another one."""
    stored = Connection.objects.get(slug=slug)
    row = Connection.objects.create(
        slug="trap", name="Trap", side=stored.side, connector=stored.connector, base_url=trap.url,
        authentication=stored.authentication, settings=stored.settings, credentials={"token": "t" * 20},
    )  # fmt: skip
    Route.objects.update(**{stored.side: row})


def token_endpoint(url: str) -> dict[str, Any]:
    document = {"scheme": "oauth2-client-credentials"}
    return document | {"token_url": f"{url}/token"} if url else document


Tampering = Callable[[str, Service], None]
TAMPERINGS: list[Tampering] = [
    move_base_url,
    rename_host,
    exchange_credentials,
    copy_into_row_of_trap,
    copy_with_its_id_into_row_of_trap,
    move_token_endpoint,
    drop_token_endpoint,
]


def post(hub: Hub) -> dict[str, Any]:
    hub.change_email("anna.moved@example.com")
    answer = hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    return {"http": answer.status_code} | answer.json()


@pytest.mark.promise("I35")
@pytest.mark.parametrize("slug", in_submission(["shop", "aurora"], but=("shop",)))
@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda one: one.__name__)
def test_no_credential_leaves_after_its_row_was_changed(
    hub: Hub, trap: Service, tamper: Tampering, slug: str
) -> None:
    if tamper in (move_token_endpoint, drop_token_endpoint):
        document = token_endpoint(ENDPOINT)
        secrets = dict.fromkeys(credential_names(document), "secret-of-the-client")
        change_connection(Connection.objects.get(slug=slug), authentication=document, credentials=secrets)
    tamper(slug, trap)
    requests = count_requests(hub)
    answer = post(hub)
    side = "target" if slug == "shop" and tamper is not exchange_credentials else "identity"
    assert (answer["http"], answer["code"], answer["retrying"]) == (424, f"{side}-credentials", True)
    assert (trap.seen, count_requests(hub)) == ([], requests), "no request at all, to none of the systems"


def test_credentials_of_another_row_are_not_sent(hub: Hub) -> None:
    """Another connection with the same addresses may be for an account that may do less."""
    shop = Connection.objects.get(slug="shop")
    copy = copy_connection(Connection.objects.get(slug="shop"), "copy", credentials={"token": "t" * 20})
    execute(
        "UPDATE sync_connection SET credentials = (SELECT o.credentials FROM sync_connection o WHERE o.id = %s)"
        " WHERE id = %s",
        copy.pk,
        shop.pk,
    )
    requests = count_requests(hub)
    assert post(hub)["code"] == "target-credentials"
    assert count_requests(hub) == requests


def test_a_delivery_continues_when_the_address_is_restored(hub: Hub, trap: Service) -> None:
    address = Connection.objects.get(slug="shop").base_url
    move_base_url("shop", trap)
    assert post(hub)["code"] == "target-credentials"
    set_column("shop", "base_url", address)
    assert post(hub)["status"] == "succeeded"


def test_a_person_may_move_a_connection_with_its_credentials(hub: Hub, trap: Service) -> None:
    """What the console saves is encrypted for the new address: the trap is then the system."""
    change_connection(Connection.objects.get(slug="shop"), base_url=trap.url, credentials={"token": "t" * 20})
    post(hub)
    assert {seen.headers["authorization"] for seen in trap.seen} == {"Bearer " + "t" * 20}


@pytest.mark.parametrize("column", ["base_url", "authentication"])
def test_a_change_in_the_code_that_enters_no_credentials_sends_none(
    hub: Hub, trap: Service, column: str
) -> None:
    """Saving a row and `QuerySet.update` do not carry credentials to another address."""
    values = {"base_url": trap.url, "authentication": token_endpoint(trap.url)}
    shop = Connection.objects.get(slug="shop")
    assert shop.credentials
    setattr(shop, column, values[column])
    shop.save()
    assert post(hub)["code"] == "target-credentials"
    assert trap.seen == []
    with pytest.raises(TypeError, match="encrypted for its row"):
        Connection.objects.filter(slug="shop").update(credentials={"token": "t" * 20})
    shop.credentials = {"token": "t" * 20}
    with pytest.raises(TypeError, match="encrypted for its row"):
        Connection.objects.bulk_update([shop], ["credentials"])


def count_requests(hub: Hub) -> tuple[int, int]:
    return len(hub.identity.read_journal()), len(hub.shop.read_journal())
