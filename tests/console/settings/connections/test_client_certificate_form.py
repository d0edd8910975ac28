"""The form of a connection checks a client certificate with its key, and shows neither."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from audit.models import Entry
from sync.models import Connection
from tests.support.builders.settings_rows import connection, connection_form
from tests.support.http.client_certificates import Authority, Issued
from tests.support.pages import visible_text
from tests.support.people import browser, entries, save

pytestmark = pytest.mark.django_db

AUTHORITY = Authority()
HUB, OTHER = AUTHORITY.issue("hub"), AUTHORITY.issue("other")
EXPIRED = AUTHORITY.issue("hub", begins=-timedelta(days=9), ends=-timedelta(days=2))
MUTUAL = {"scheme": "none", "client_certificate": True}


def send(of: Connection, **changed: Any) -> tuple[str, dict[str, str] | None]:
    """Save the form, and return the page that follows with the credentials that are stored then."""
    form = connection_form(of, authentication=json.dumps(MUTUAL), **changed)
    page = save(browser("administrator"), f"/admin/sync/connection/{of.pk}/change/", form)
    of.refresh_from_db()
    html = page.content.decode()
    for issued in (HUB, OTHER):
        assert issued.key.splitlines()[1] not in html
    return visible_text(page), of.credentials


def stored(issued: Issued = HUB, **changed: Any) -> Connection:
    return connection(authentication=MUTUAL, credentials=issued.credentials, **changed)


def test_a_certificate_and_its_key_are_stored_together() -> None:
    _, credentials = send(connection(), **HUB.credentials)
    assert credentials == HUB.credentials
    assert entries("connection.changed")[0]["details"]["changed"] == ["credentials"]
    assert not Entry.objects.filter(details__contains="BEGIN").exists()


@pytest.mark.submission
@pytest.mark.parametrize("typed", [{}, OTHER.credentials])
def test_credentials_left_empty_are_kept(typed: dict[str, str]) -> None:
    assert send(stored(), name="Renamed", **typed)[1] == {**HUB.credentials, **typed}


@pytest.mark.submission
@pytest.mark.parametrize(
    "typed",
    [
        {"client_certificate": OTHER.certificate},
        {"client_key": OTHER.key},
        {"client_certificate": "nothing"},
        {"client_certificate": HUB.certificate + HUB.key},
        {"client_key": "-----BEGIN ENCRYPTED PRIVATE KEY-----"},
        EXPIRED.credentials,
    ],
)
def test_what_does_not_fit_is_refused(typed: dict[str, str]) -> None:
    assert send(stored(), name="Renamed", **typed)[1] == HUB.credentials
    assert not Connection.objects.filter(name="Renamed").exists()


@pytest.mark.submission
def test_a_renewed_certificate_of_the_same_key_needs_no_key() -> None:
    renewed = AUTHORITY.issue("hub", load_pem_private_key(HUB.key.encode(), None))
    _, credentials = send(stored(), client_certificate=renewed.certificate)
    assert credentials == renewed.credentials


@pytest.mark.submission
def test_a_stored_certificate_that_has_expired_does_not_block_other_changes() -> None:
    of = stored(EXPIRED)
    assert send(of, name="Renamed")[1] == EXPIRED.credentials
    assert of.name == "Renamed"


@pytest.mark.submission
def test_another_origin_removes_certificate_and_key() -> None:
    assert send(stored(), base_url="https://elsewhere.example.com/")[1] is None
