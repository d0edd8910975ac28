"""The stand-ins, running on free ports of this process."""

from collections.abc import Iterator

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.sandbox.client import Client
from tests.support.http.webhook_receiver import Receiver, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def shop() -> Iterator[ShopService]:
    with ShopService() as service:
        yield service


@pytest.fixture
def call_shop(shop: ShopService) -> Client:
    return Client(shop.url, shop.token)


@pytest.fixture
def hub() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def identity(hub: Receiver) -> Iterator[IdentityService]:
    with IdentityService(hub=hub.url, secret=SECRET) as service:
        yield service


@pytest.fixture
def call_identity(identity: IdentityService) -> Client:
    return Client(identity.url, identity.token)


@pytest.fixture
def browser(identity: IdentityService) -> Client:
    return Client(identity.url)
