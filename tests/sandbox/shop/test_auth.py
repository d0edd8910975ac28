"""Authentication of the stand-in APIs."""

import pytest
import requests
from requests.auth import HTTPBasicAuth

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.sandbox.client import Client

pytestmark = pytest.mark.pure

PATH = "/api/customers/4711"


def token_of(shop: ShopService, **form: str) -> requests.Response:
    return Client(shop.url)("POST", "/oauth/token", data={"grant_type": "client_credentials", **form})


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, 401),
        ({"headers": {"Authorization": "Bearer shop-token"}}, 200),
        ({"headers": {"Authorization": "bearer shop-token"}}, 200),
        ({"headers": {"Authorization": "Bearer shop-tokem"}}, 401),
        ({"headers": {"Authorization": "Digest shop-token"}}, 401),
        ({"headers": {"Authorization": "Basic !!!"}}, 401),
        ({"headers": {"X-Api-Key": "shop-token"}}, 200),
        ({"headers": {"X-Api-Key": "other"}}, 401),
        ({"auth": HTTPBasicAuth("anyone", "shop-token")}, 200),
        ({"auth": HTTPBasicAuth("anyone", "other")}, 401),
    ],
)
def test_the_shop_takes_one_secret_in_several_ways(
    shop: ShopService, more: dict[str, object], status: int
) -> None:
    answer = Client(shop.url)("GET", PATH, **more)
    assert answer.status_code == status
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_client_credentials_in_the_form_or_the_header_give_a_token_that_opens_the_api(
    shop: ShopService,
) -> None:
    in_form = token_of(shop, client_id="hub", client_secret="shop-token").json()
    assert (in_form["token_type"], in_form["expires_in"]) == ("bearer", 3600)
    in_header = requests.post(
        f"{shop.url}/oauth/token", {"grant_type": "client_credentials"}, auth=("hub", "shop-token"), timeout=5
    ).json()
    for token in (in_form["access_token"], in_header["access_token"]):
        assert Client(shop.url, token)("GET", PATH).status_code == 200
    shop.access.revoke_tokens()
    assert Client(shop.url, in_form["access_token"])("GET", PATH).status_code == 401


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_id": "hub", "client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "other", "client_secret": "shop-token"}, 401, "invalid_client"),
        (
            {"client_id": "hub", "client_secret": "shop-token", "grant_type": "password"},
            400,
            "unsupported_grant_type",
        ),
    ],
)
def test_wrong_client_credentials_are_refused_as_oauth_says(
    shop: ShopService, form: dict[str, str], status: int, error: str
) -> None:
    answer = token_of(shop, **form)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_an_expired_token_is_refused() -> None:
    with ShopService(token_seconds=0) as shop:
        token = token_of(shop, client_id="hub", client_secret="shop-token").json()["access_token"]
        assert Client(shop.url, token)("GET", PATH).status_code == 401


@pytest.mark.parametrize("token", [None, "other"])
def test_the_identity_service_refuses_without_its_token(identity: IdentityService, token: str | None) -> None:
    answer = Client(identity.url, token)("GET", "/api/users/IDNUMBER1234")
    assert answer.status_code == 401
    assert answer.json() == {"errorMessage": "The token is missing or wrong.", "statusCode": 401}
