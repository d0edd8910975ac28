"""A stored connection may be unusable: changed in the database, or without its credentials."""

from typing import Any

import pytest

from sync.models import Attempt, Connection
from tests.support.hub import EXAMPLE, Hub

UNREADABLE = "-----BEGIN CERTIFICATE----- MIIBszCCAVmgAwIBAgIU -----END CERTIFICATE-----"


def with_unreadable_certificates(stored: Connection) -> dict[str, Any]:
    address = stored.base_url.replace("http:", "https:")
    return {"base_url": address, "settings": stored.settings | {"ca": UNREADABLE}}


def without_credentials(_: Connection) -> dict[str, Any]:
    return {"credentials": None}


@pytest.mark.parametrize(
    ("side", "spoilt", "code"),
    [
        ("target", with_unreadable_certificates, "target-unavailable"),
        ("identity", with_unreadable_certificates, "identity-unavailable"),
        ("target", without_credentials, "target-credentials"),
    ],
)
def test_an_unusable_connection_fails_with_its_own_code(hub: Hub, side: str, spoilt: Any, code: str) -> None:
    sound = Connection.objects.get(side=side)
    for name, value in spoilt(sound).items():
        setattr(sound, name, value)
    sound.save()
    answer = hub.post(EXAMPLE)
    assert (answer.status_code, answer.json()["code"], answer.json()["retrying"]) == (424, code, True)
    assert Attempt.objects.get().code == code
    assert hub.writes() == []
