"""Users read with each preset of an identity service, from a stand-in that answers as its vendor documents it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from sync.connectors.contracts.errors import (
    ConnectorError,
    CredentialsRefused,
    RequestThrottled,
    UnreadableResponse,
)
from sync.connectors.contracts.types import Access, IdentityConnector
from sync.connectors.presets import PRESETS, load_preset
from tests.support.http.connectors import identity
from tests.support.http.servers import Reply, SeenRequest, Service, serving
from tests.support.identity_services import vendors as identity_vendors
from tests.support.identity_services.vendors import IdentityVendor

pytestmark = [pytest.mark.pure, pytest.mark.presets]

TOKEN, CLIENT = {"token": "s3cret-token"}, {"client_id": "hub", "client_secret": "s3cret"}
IDS = [f"u{number}" for number in range(1, 6)]


@dataclass(frozen=True)
class Vendor:
    """What one system needs. `base`: the path of the base URL; `prefix`: of ids."""

    make: Callable[[], IdentityVendor]
    base: str = ""
    prefix: str = ""
    credentials: dict[str, str] = field(default_factory=lambda: TOKEN)


VENDORS: dict[str, Vendor] = {
    "auth0-identity": Vendor(identity_vendors.auth0, prefix="auth0|", credentials=CLIENT),
    "authentik-identity": Vendor(identity_vendors.authentik),
    "canaille-identity": Vendor(identity_vendors.canaille, "/scim/v2", credentials=CLIENT),
    "clerk-identity": Vendor(identity_vendors.clerk, "/v1"),
    "directus-identity": Vendor(identity_vendors.directus),
    "entra-id-identity": Vendor(identity_vendors.entra_id, "/v1.0", credentials=CLIENT),
    "fusionauth-identity": Vendor(identity_vendors.fusionauth, credentials={"value": "s3cret-key"}),
    "keycloak-identity": Vendor(identity_vendors.keycloak, "/admin/realms/REALM", credentials=CLIENT),
    "logto-identity": Vendor(identity_vendors.logto, credentials=CLIENT),
    "okta-identity": Vendor(identity_vendors.okta, credentials={"value": "SSWS s3cret-token"}),
    "ory-identity": Vendor(identity_vendors.ory),
    "pingone-identity": Vendor(
        identity_vendors.pingone, "/v1/environments/ENVIRONMENT_ID", credentials=CLIENT
    ),
    "scim-identity": Vendor(identity_vendors.scim, "/scim/v2"),
    "workos-identity": Vendor(identity_vendors.workos),
    "zitadel-identity": Vendor(identity_vendors.zitadel),
}
every_vendor = pytest.mark.parametrize("name", VENDORS)


@contextmanager
def users_of(name: str) -> Iterator[tuple[IdentityVendor, Service]]:
    """Run the stand-in of a preset with five users."""
    system = VENDORS[name].make()
    for user_id in IDS:
        system.add(**{system.id_field: VENDORS[name].prefix + user_id, "email": f"{user_id}@example.com"})
    with serving(system.answer) as service:
        yield system, service


def connect(
    name: str, service: Service, change: Callable[[dict[str, Any]], Any] | None = None, **credentials: str
) -> IdentityConnector:
    """Return a connector with the preset, with two users on a page. `change`: what is done to settings of users."""
    preset = load_preset(name)
    users = preset["settings"]["entities"]["USER"]
    users["list"]["size"] = 2
    if change is not None:
        change(users)
    authentication = preset["authentication"]
    if "token_url" in authentication:
        authentication["token_url"] = service.url + urlsplit(authentication["token_url"]).path
    return identity(
        service.url + VENDORS[name].base,
        authentication=authentication,
        credentials=VENDORS[name].credentials | credentials,
        settings=preset["settings"],
        deadline=5,
    )


def test_every_preset_of_an_identity_service_has_a_stand_in() -> None:
    services = {name for name, preset in PRESETS.items() if preset.connector == "rest-identity"}
    # Trivore has a server and tests of its own.
    assert set(VENDORS) == services - {"sandbox-identity", "trivore"}


@every_vendor
def test_a_user_is_fetched_by_id(name: str) -> None:
    with users_of(name) as (_, service):
        entity = connect(name, service).fetch_entity("USER", VENDORS[name].prefix + "u3")
    assert entity is not None
    assert (entity.id, entity.attributes["email"]) == (VENDORS[name].prefix + "u3", "u3@example.com")


@every_vendor
def test_an_absent_user_is_none_and_other_users_prove_the_absence(name: str) -> None:
    with users_of(name) as (system, service):
        connector = connect(name, service)
        assert connector.fetch_entity("USER", "nobody") is None
        assert connector.check_access("USER", "nobody", []) is Access.GRANTED
        system.users.clear()
        assert connector.check_access("USER", "nobody", []) is not Access.GRANTED


@every_vendor
def test_an_answer_about_another_user_is_never_taken(name: str) -> None:
    with users_of(name) as (system, service):
        system.confused = True
        with pytest.raises(UnreadableResponse):
            connect(name, service).fetch_entity("USER", VENDORS[name].prefix + "u3")


@every_vendor
def test_wrong_credentials_are_reported(name: str) -> None:
    secret = next(key for key in ("token", "value", "client_secret") if key in VENDORS[name].credentials)
    with users_of(name) as (_, service):
        connector = connect(name, service, **{secret: "expired"})
        for call in (
            lambda: connector.fetch_entity("USER", "u3"),
            lambda: list(connector.list_entities("USER")),
        ):
            with pytest.raises(CredentialsRefused):
                call()


@every_vendor
def test_all_users_are_listed_page_by_page(name: str) -> None:
    with users_of(name) as (_, service):
        listed = [entity.id for entity in connect(name, service).list_entities("USER")]
    assert listed == [VENDORS[name].prefix + user_id for user_id in IDS]


@every_vendor
def test_the_connection_test_reads_a_listed_user_by_id(name: str) -> None:
    with users_of(name) as (_, service):
        sample = connect(name, service).read_sample()
    assert sample.is_proof
    assert sample.item_count


def test_a_refused_client_is_reported_with_the_message_of_the_service() -> None:
    with users_of("directus-identity") as (_, service), pytest.raises(CredentialsRefused) as caught:
        connect("directus-identity", service, token="expired").fetch_entity("USER", "u3")
    assert caught.value.sentence == "Invalid user credentials."


@pytest.mark.parametrize(
    ("name", "header"), [("okta-identity", "X-Rate-Limit-Reset"), ("auth0-identity", "X-RateLimit-Reset")]
)
def test_a_service_without_retry_after_says_when_its_limit_ends(name: str, header: str) -> None:
    token = {"access_token": "s3cret-token", "expires_in": 3600, "token_type": "Bearer"}

    def answer(seen: SeenRequest) -> Reply:
        if seen.path == "/oauth/token":
            return Reply(200, token)
        return Reply(
            429, {"errorSummary": "API call exceeded rate limit"}, {header: str(int(time.time()) + 30)}
        )

    with serving(answer) as service, pytest.raises(RequestThrottled) as caught:
        connect(name, service).fetch_entity("USER", VENDORS[name].prefix + "u3")
    assert caught.value.retry_after is not None
    assert 20 < caught.value.retry_after <= 30


# Broken variants: a preset with one wrong setting.

BREAKS: list[Callable[[dict[str, Any]], Any]] = [
    lambda users: users.update(path="/people/{id}"),
    lambda users: users.update(id="identifier"),
    lambda users: users["list"].update(results="no_such_member"),
    lambda users: users["list"].update(path="/people"),
]


@pytest.mark.parametrize("change", BREAKS, ids=["path", "id", "results", "list"])
@every_vendor
def test_a_preset_with_a_wrong_setting_is_caught(name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    with users_of(name) as (_, service):
        connector = connect(name, service, change)
        with pytest.raises((ConnectorError, AssertionError)):
            _read_everything(connector, VENDORS[name].prefix + "u3")


@every_vendor
def test_the_unchanged_preset_passes(name: str) -> None:
    with users_of(name) as (_, service):
        _read_everything(connect(name, service), VENDORS[name].prefix + "u3")


def _read_everything(connector: IdentityConnector, user_id: str) -> None:
    assert connector.fetch_entity("USER", user_id) is not None
    assert len(list(connector.list_entities("USER"))) == len(IDS)
