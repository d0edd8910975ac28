"""The pages of the stand-in services, used as a browser does."""

import html
from typing import Any

import pytest

from sandbox.identity import IdentityService
from tests.sandbox.client import Client
from tests.support.http.webhook_receiver import REFUSED, SUCCEEDED, Receiver

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

ANNA = "/users/IDNUMBER1234"
FORM = {
    "given_name": "Anna",
    "family_name": "Aalto",
    "email": "anna@new.example",
    "mobile": "",
    "language": "fi",
}


def save(browser: Client, path: str = ANNA, **form: str) -> str:
    """Press Save on a profile page. Returns the resulting page with its entities decoded."""
    answer = browser("POST", path, data=FORM | form)
    assert answer.status_code == 303
    return html.unescape(browser("GET", answer.headers["Location"]).text)


def test_saving_stores_the_change_notifies_the_hub_and_shows_success(
    hub: Receiver, identity: IdentityService, browser: Client
) -> None:
    page = save(browser)
    assert "The shop now uses your new e-mail address, too." in page
    assert "01K0REFERENCE" in page
    (webhook,) = hub.received
    assert webhook.json() | {"timestamp": ""} == {
        "id": "IDNUMBER1234",
        "entityType": "USER",
        "eventType": "UPDATE",
        "timestamp": "",
    }
    assert webhook.headers["accept-language"] == "fi"
    user = identity.directory.get_record("users", "IDNUMBER1234")
    assert user["emails"] == [{"address": "anna@new.example", "verified": False}]


@pytest.mark.parametrize(
    ("status", "answer", "expected", "unexpected"),
    [
        (200, SUCCEEDED | {"status": "unchanged"}, ["already up to date"], ["in use"]),
        (200, {"status": "observed"}, ["do not take over changes yet"], ["could not be notified"]),
        (200, b"<h1>It works</h1>", ["could not be notified", "saved here"], ["up to date"]),
        (422, REFUSED, [REFUSED["detail"], "01K0REFUSED", "saved here", "change it again"], ["shortly"]),
        (
            424,
            {"detail": "The shop is closed.", "retrying": True},
            ["retries automatically"],
            ["change it again"],
        ),
        (500, b"oops", ["unexpected response"], ["oops"]),
    ],
)
def test_the_person_sees_the_result_of_the_change(
    hub: Receiver, browser: Client, status: int, answer: Any, expected: list[str], unexpected: list[str]
) -> None:
    hub.always(status, answer)
    page = save(browser)
    for words in expected:
        assert words in page
    for words in unexpected:
        assert words not in page


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_a_form_of_another_site_is_refused(
    hub: Receiver, identity: IdentityService, browser: Client, headers: dict[str, str], status: int
) -> None:
    sent = {name: value.replace("{own}", identity.url) for name, value in headers.items()}
    before = identity.list_records("users")
    assert browser("POST", ANNA, data=FORM, headers=sent).status_code == status
    assert (identity.list_records("users") == before) == (status == 403)
    assert browser("DELETE", "/_sandbox/faults", headers=sent).status_code == {303: 200, 403: 403}[status]
