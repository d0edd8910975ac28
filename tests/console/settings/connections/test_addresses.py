"""Addresses that are not saved, and credentials that are sent unencrypted only where a person has confirmed it."""

import json
import socket
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from sync.models import Connection
from tests.support.builders.settings_rows import STORED, connection, connection_form
from tests.support.http.egress import egress_policy
from tests.support.pages import visible_text
from tests.support.people import browser, save
from tests.support.rows import in_submission
from webhooks.models import Source

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

METADATA = ["169.254.169.254", "2852039166", "0xa9fea9fe", "[::ffff:100.100.100.200]"]
BLOCKED = ["10.1.2.3", "127.1", "[::ffff:0:8.8.8.8]", "internal.test", "both.test"]


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a name server, which knows these names."""
    known = {
        "internal.test": ["10.1.2.3"],
        "both.test": ["8.8.8.8", "169.254.169.254"],
        "public.test": ["8.8.8.8"],
    }
    real = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **options: Any) -> Any:
        if host.endswith(".test") and host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [info for address in known.get(host, [host]) for info in real(address, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture
def client() -> Client:
    return browser("administrator")


def change(client: Client, of: Connection, **changed: Any) -> str:
    """Save a change. Returns the text of the page that shows its errors; empty if it was saved."""
    address = f"/admin/sync/connection/{of.pk}/change/"
    answer = client.post(address, connection_form(of, **changed))
    if answer.status_code == 200:
        is_asked = 'type="text" name="unencrypted"' in answer.content.decode()
        assert is_asked is ("to confirm" in visible_text(answer))
        return visible_text(answer)
    save(client, address, connection_form(of, **changed))
    return ""


def with_token_endpoint(host: str) -> dict[str, Any]:
    return {"scheme": "oauth2-client-credentials", "token_url": f"http://{host}/token"}


@pytest.mark.promise("T7")
def test_a_metadata_address_is_not_saved_whatever_the_policy_and_the_spelling(client: Client) -> None:
    of = connection()
    assert "The hub never connects to" in change(client, of, base_url="http://169.254.169.254", is_enabled="")
    for host in METADATA:
        of.authentication = with_token_endpoint(host)
        with pytest.raises(ValidationError, match="never connects"):
            of.full_clean()


@pytest.mark.promise("T7")
@pytest.mark.parametrize("host", in_submission(BLOCKED, but=["internal.test"]))
def test_an_address_that_the_policy_excludes_is_not_saved(client: Client, host: str) -> None:
    of = connection()
    with egress_policy():
        assert change(client, of, base_url=f"https://{host}")
        page = change(client, of, authentication=json.dumps(with_token_endpoint(host)))
    assert "token_url" in page
    assert "EGRESS_ALLOW" in page or "never connects" in page
    of.refresh_from_db()
    assert of.base_url == "https://id.example.com/"


@pytest.mark.submission
def test_a_name_that_is_public_or_unknown_is_saved(client: Client) -> None:
    of = connection()
    with egress_policy():
        for host in ("unknown.test", "public.test"):
            assert change(client, of, base_url=f"https://{host}") == ""
            of.refresh_from_db()
            assert of.base_url == f"https://{host}"


@pytest.mark.submission
def test_a_new_connection_is_checked_too_and_its_networks_must_contain_the_host(client: Client) -> None:
    of = connection()
    form = connection_form(of, slug="other", base_url="https://internal.test")
    with egress_policy():
        assert "EGRESS_ALLOW" in visible_text(client.post("/admin/sync/connection/add/", form))
        form |= {
            "base_url": "https://public.test",
            "settings": json.dumps(of.settings | {"networks": ["10.0.0.0/8"]}),
        }
        assert "none of these networks" in visible_text(client.post("/admin/sync/connection/add/", form))
    assert Connection.objects.count() == 1


@pytest.mark.submission
def test_a_blocked_connection_can_be_disabled_and_renamed_then(client: Client) -> None:
    of = connection(base_url="https://internal.test")
    with egress_policy():
        assert change(client, of, is_enabled="") == ""
        of.refresh_from_db()
        assert not of.is_enabled
        assert change(client, of, is_enabled="", name="Former") == ""
        assert "EGRESS_ALLOW" in change(client, of)


def test_the_address_of_a_key_set_is_checked_when_its_source_is_saved(client: Client) -> None:
    source = Source.objects.create(slug="aurora", name="Aurora", scheme="none")
    page = client.get(f"/admin/webhooks/source/{source.pk}/change/")
    typed = {
        name: value
        for name, value in page.context["adminform"].form.initial.items()
        if value not in (None, False)
    }
    options = {"algorithm": "RS256", "header": "Authorization", "jwks_url": "https://internal.test/keys"}
    form = {
        name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in typed.items()
    }
    form |= {"scheme": "jwt", "scheme_settings": json.dumps(options)}
    with egress_policy():
        answer = client.post(f"/admin/webhooks/source/{source.pk}/change/", form)
    assert "jwks_url" in visible_text(answer)
    assert "EGRESS_ALLOW" in visible_text(answer)


def test_credentials_over_http_need_the_name_of_the_host(client: Client) -> None:
    of = connection()
    plain = {"base_url": "http://shop.test/api", "username": "u2", "password": "p2"}
    for typed in ("", "other.test"):
        assert "type shop.test here to confirm" in change(client, of, **plain, unencrypted=typed)
    assert change(client, of, **plain, unencrypted="shop.test") == ""
    of.refresh_from_db()
    assert (of.base_url, of.credentials) == ("http://shop.test/api", {"username": "u2", "password": "p2"})
    assert change(client, of, name="Other") == "", "it is confirmed already"


@pytest.mark.parametrize(
    ("changed", "is_refused"),
    [
        ({"base_url": "http://127.0.0.1:8102", "username": "u2", "password": "p2"}, False),
        ({"base_url": "http://localhost", "username": "u2", "password": "p2"}, False),
        ({"base_url": "http://shop.test"}, False),
        ({"base_url": "http://127.0.0.1.test", "username": "u2", "password": "p2"}, True),
    ],
)
def test_only_credentials_for_another_computer_need_it(
    client: Client, changed: dict[str, str], is_refused: bool
) -> None:
    of = connection()
    assert of.credentials == STORED
    assert ("to confirm" in change(client, of, **changed)) is is_refused


@pytest.mark.submission
def test_an_unencrypted_token_endpoint_needs_its_own_name_and_so_does_a_later_credential(
    client: Client,
) -> None:
    of = connection(
        base_url="http://shop.test", authentication=with_token_endpoint("login.test"), credentials=None
    )
    typed = {"client_id": "hub", "client_secret": "s3cret-s3cret-s3cret"}
    assert change(client, of, name="Without credentials") == ""
    of.refresh_from_db()
    assert "type shop.test login.test here" in change(client, of, **typed)
    assert "to confirm" in change(client, of, **typed, unencrypted="shop.test")
    assert change(client, of, **typed, unencrypted="login.test, shop.test") == ""
