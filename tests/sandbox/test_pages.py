"""The pages of the stand-in services, used as a browser does."""

import html
from typing import Any

import pytest
import requests

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.sandbox.client import Client
from tests.support.http.webhook_receiver import REFUSED, SUCCEEDED, Receiver

pytestmark = pytest.mark.pure

ANNA = "/users/IDNUMBER1234"
FORM = {
    "given_name": "Anna",
    "family_name": "Aalto",
    "email": "anna@new.example",
    "mobile": "",
    "language": "fi",
}
NASTY = '"><script>alert(1)</script>'
IDENTITY_PAGES = ("/", "/users", ANNA, "/groups", "/files", "/webhooks", "/settings", "/journal", "/faults")
SHOP_PAGES = ("/", "/customers", "/customers/4711", "/segments", "/documents", "/journal", "/faults")


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


def test_a_new_address_is_unverified_until_it_is_verified(
    hub: Receiver, identity: IdentityService, browser: Client
) -> None:
    page = browser("GET", ANNA).text
    assert "anna.aalto@example.com is verified." in page
    assert "anna@new.example is not verified." in save(browser)
    answer = browser("POST", f"{ANNA}/verify")
    assert answer.status_code == 303
    assert "anna@new.example is verified." in browser("GET", answer.headers["Location"]).text
    user = identity.directory.get_record("users", "IDNUMBER1234")
    assert user["emails"] == [{"address": "anna@new.example", "verified": True}]
    assert [webhook.json()["eventType"] for webhook in hub.received] == ["UPDATE", "UPDATE"]
    assert browser("POST", "/users/NOBODY/verify").status_code == 404


def test_a_previous_address_says_whether_it_was_verified(
    hub: Receiver, identity: IdentityService, browser: Client
) -> None:
    identity.sender.change_settings({"previous": True})
    save(browser)
    emails = [{"address": "anna.aalto@example.com", "verified": True}]
    previous = hub.received[0].json()["previous"]
    assert previous == {"email": "anna.aalto@example.com", "emails": emails}


@pytest.mark.parametrize(
    ("status", "answer", "expected", "unexpected"),
    [
        (200, SUCCEEDED | {"status": "unchanged"}, ["already up to date"], ["in use"]),
        (200, b"<h1>It works</h1>", ["could not be notified", "saved here"], ["up to date"]),
        (202, {"status": "accepted"}, ["will be updated shortly"], ["saved here"]),
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


def test_a_refused_field_is_explained_at_the_field_and_escaped(hub: Receiver, browser: Client) -> None:
    hub.always(422, REFUSED)
    answer = browser("POST", ANNA, data=FORM)
    page = browser("GET", answer.headers["Location"]).text
    assert '<p class="error" id="email_error">Already &lt;taken&gt;.</p>' in page
    assert 'aria-describedby="email_error"' in page


def test_without_a_signing_secret_save_still_shows_the_profile_and_why(hub: Receiver) -> None:
    with IdentityService(hub=hub.url) as identity:
        page = save(Client(identity.url))
    assert "No signing secret is set." in page
    assert "saved here" in page


@pytest.mark.parametrize(
    ("path", "form", "field", "kept"),
    [
        (ANNA, {"email": "anna at home"}, "email", "anna at home"),
        (ANNA, {"given_name": ""}, "given_name", "anna@new.example"),
        ("/users", {"email": "nobody"}, "email", "nobody"),
        ("/users", {"family_name": " "}, "family_name", "anna@new.example"),
        ("/groups/GROUPSTAFF", {"name": ""}, "name", "Regulars"),
        ("/files/FILEPORTRAIT", {"name": "x" * 201}, "name", "x" * 201),
    ],
)
def test_invalid_input_is_explained_at_the_field_and_nothing_is_saved_or_sent(
    hub: Receiver,
    identity: IdentityService,
    browser: Client,
    path: str,
    form: dict[str, str],
    field: str,
    kept: str,
) -> None:
    before = [identity.list_records(collection) for collection in identity.collections]
    answer = browser("POST", path, data=FORM | form)
    assert answer.status_code == 400
    assert f'id="{field}_error"' in answer.text
    assert "Not saved" in answer.text
    assert f'value="{kept}"' in answer.text
    assert [identity.list_records(collection) for collection in identity.collections] == before
    assert hub.received == []


def test_a_person_can_be_added_and_deleted(hub: Receiver, identity: IdentityService, browser: Client) -> None:
    answer = browser("POST", "/users", data=FORM | {"given_name": "Väinö", "family_name": "Åkerö"})
    path = answer.headers["Location"].partition("?")[0]
    assert identity.list_records("users")[-1]["username"] == "vaino.akero"
    assert browser("POST", f"{path}/delete").status_code == 303
    assert browser("GET", path).status_code == 404
    assert [webhook.json()["eventType"] for webhook in hub.received] == ["CREATE", "DELETE"]


def test_renaming_a_group_sends_the_old_name_if_configured(hub: Receiver, browser: Client) -> None:
    settings = {
        "signed_url": f"{hub.url}/x",
        "unsigned_url": f"{hub.url}/plain",
        "mode": "unsigned",
        "previous": "on",
    }
    assert browser("POST", "/settings", data=settings).status_code == 303
    assert "Saved" in save(browser, "/groups/GROUPSTAFF", name="Crew")
    (webhook,) = hub.received
    assert (webhook.path, webhook.json()["previous"]) == ("/plain", {"name": "Staff"})


def test_a_wrong_setting_is_explained_on_the_page(identity: IdentityService, browser: Client) -> None:
    before = identity.sender.settings
    answer = browser("POST", "/settings", data={"signed_url": "nowhere"})
    assert (answer.status_code, identity.sender.settings) == (400, before)
    assert "must start with http" in answer.text
    assert 'value="nowhere"' in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
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


def test_nothing_that_people_type_becomes_markup(
    hub: Receiver, identity: IdentityService, browser: Client, shop: ShopService, call_shop: Client
) -> None:
    hub.always(422, REFUSED | {"title": NASTY, "detail": NASTY, "reference": NASTY})
    identity.faults.add("refuse", sentence=NASTY)
    shop.faults.add("refuse", sentence=NASTY, path="/nowhere")
    location = browser(
        "POST", ANNA, data=FORM | {"given_name": NASTY, "email": f"{NASTY}@example.com".replace(" ", "")}
    )
    for collection in ("groups", "files"):
        browser("POST", f"/{collection}/{identity.list_records(collection)[0]['id']}", data={"name": NASTY})
    call_shop("PATCH", f"/api/customers/4711?q={NASTY}", {"first_name": NASTY, "external_id": NASTY})
    call_shop("POST", "/api/segments", {"name": NASTY}, headers={"Idempotency-Key": NASTY})
    call_shop("POST", "/api/documents", {"title": NASTY})
    pages = [browser("GET", path) for path in (*IDENTITY_PAGES, location.headers["Location"])]
    pages += [Client(shop.url)("GET", path) for path in (*SHOP_PAGES, f"/customers?q={NASTY}")]
    assert [page.status_code for page in pages] == [200] * len(pages)
    assert not [page.url for page in pages if "<script" in page.text]
    assert sum("&lt;script" in page.text for page in pages) >= 12


@pytest.mark.parametrize("path", [*IDENTITY_PAGES, "/users/nobody", "/users/%0d%0aX-Evil:1"])
def test_every_page_keeps_the_browser_in_bounds(browser: Client, path: str) -> None:
    answer = browser("GET", path)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Evil" not in answer.headers
    assert "style=" not in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize("path", SHOP_PAGES)
def test_the_shop_shows_a_banner_on_every_page_while_it_misbehaves(shop: ShopService, path: str) -> None:
    browser = Client(shop.url)
    assert "simulates faults" not in browser("GET", path).text
    browser("POST", "/faults", data={"kind": "slow", "seconds": "5", "sentence": "", "times": ""})
    assert "responds late (5 s)" in browser("GET", path).text
    browser("POST", "/faults/clear")
    assert "simulates faults" not in browser("GET", path).text


def test_a_switch_with_a_wrong_number_is_explained(shop: ShopService) -> None:
    answer = Client(shop.url)("POST", "/faults", data={"kind": "slow", "seconds": "many"})
    assert answer.status_code == 400
    assert "seconds must be a number." in answer.text


def test_customers_can_be_searched_and_their_page_shows_their_history(
    call_shop: Client, shop: ShopService
) -> None:
    call_shop("PATCH", "/api/customers/4711", {"phone": "1"}, headers={"Idempotency-Key": "K-1234"})
    browser = Client(shop.url)
    listed = browser("GET", "/customers?q=AALTO").text
    assert "anna.aalto@example.com" in listed
    assert "taken@example.com" not in listed
    detail = browser("GET", "/customers/4711").text
    assert "IDNUMBER1234" in detail
    assert "K-1234" in detail
    assert "PATCH" in browser("GET", "/journal?writes=1").text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/static/sandbox.css", 200),
        ("/static/../service.py", 404),
        ("/static/nothing.css", 404),
        ("/static/", 404),
    ],
)
def test_only_the_style_sheet_is_served_as_a_file(shop: ShopService, path: str, status: int) -> None:
    with requests.Session() as session:
        request = requests.Request("GET", shop.url).prepare()
        request.url = shop.url + path
        assert session.send(request, timeout=5).status_code == status
