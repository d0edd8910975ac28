"""Acts that need a fresh log-in: each is carried out once the password was entered, with what was typed before."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from exports.models import Export
from logins import guard
from logins.access_requests import request_role
from logins.fresh_login import FRESH_SECONDS
from logins.limits import LoginRefused
from logins.models import AccessRequest
from sync.erasure.requests import request_erasure
from sync.erasure.subject_data import find_subject
from sync.models import Erasure
from tests.support.builders.captured_requests import a_captured_request
from tests.support.builders.exports import a_requested_export
from tests.support.builders.history import a_delivery, a_receipt, a_replay, a_route, a_source, an_event
from tests.support.builders.settings_rows import TYPED, a_signed_source, connection, connection_form
from tests.support.people import entries, person, save
from tests.support.rows import in_submission
from webhooks.models import SourceSecret

pytestmark = pytest.mark.django_db

PASSWORD = "a staple that is new"
WHOM = {"entity_type": "USER", "entity_id": "USR-0", "source": ""}
WHY = {"reason": "she asked for it"}
NEW_LOGIN = {"username": "eva", "password1": PASSWORD, "password2": PASSWORD}
PASSWORD_PAGE = "Enter your password again"


def logged_in_before(client: Client, seconds: float) -> None:
    """Make the log-in of this session so old."""
    session = client.session
    session["logged_in_at"] = time.time() - seconds
    session.save()


def a_person_with_password(role: str = "", name: str = "anna") -> User:
    user = person(role, name)
    user.set_password(PASSWORD)
    user.save()
    return user


@pytest.fixture
def client() -> Client:
    """A superuser whose log-in is not fresh any more."""
    client = Client(raise_request_exception=False)
    client.force_login(a_person_with_password())
    logged_in_before(client, FRESH_SECONDS)
    return client


def confirm(client: Client, page: Any, password: str = PASSWORD) -> Any:
    """Fill in the page that asks for the password, which posts to its own address."""
    fields = dict(re.findall(r'name="(confirm_\w+)" value="([^"]*)"', page.content.decode()))
    assert fields.keys() == {"confirm_login", "confirm_back"}
    return client.post(page.request["PATH_INFO"], fields | {"confirm_password": password})


# Each act: sends what a person sends, and returns the answer to the request that must be refused.
def reveal_an_event(client: Client) -> Any:
    return client.post(f"/admin/webhooks/event/{an_event(0).pk}/reveal/", WHY)


def reveal_a_request(client: Client) -> Any:
    receipt = a_receipt(None, source=a_source())
    return client.post(f"/admin/webhooks/receipt/{receipt.pk}/reveal/", WHY)


def reveal_a_captured_value(client: Client) -> Any:
    row = a_captured_request(a_source(), timezone.now())
    return client.post(f"/admin/webhooks/source/{row.source_id}/capture/{row.pk}/reveal/", {"value": "b0"})


def rotate_a_secret(client: Client) -> Any:
    form = {"typed": TYPED, "hours": "24", "newest": 0} | WHY
    return client.post(f"/admin/webhooks/source/{a_signed_source().pk}/rotate/", form)


def end_a_secret(client: Client) -> Any:
    secret = SourceSecret.objects.create(source=a_signed_source(), value=TYPED, hint="GKYq")
    return client.post(f"/admin/webhooks/source/{secret.source_id}/secrets/{secret.pk}/end/", WHY)


def change_credentials(client: Client) -> Any:
    of = connection()
    return save(
        client, f"/admin/sync/connection/{of.pk}/change/", connection_form(of, password="new-password")
    )


def add_a_connection_with_credentials(client: Client) -> Any:
    of = connection(slug="of", name="Of", credentials=None)
    form = connection_form(of, slug="new", name="New", username="hub-user", password="hub-password")
    return client.post("/admin/sync/connection/add/", form)


def add_a_login(client: Client) -> Any:
    return client.post("/admin/auth/user/add/", NEW_LOGIN)


def change_roles(client: Client) -> Any:
    eva = User.objects.create_user("eva", is_staff=True)
    form = {"username": "eva", "is_active": "on", "is_staff": "on"}
    form["groups"] = str(Group.objects.get(name="auditor").pk)
    return client.post(f"/admin/auth/user/{eva.pk}/change/", form)


def disable_a_login(client: Client) -> Any:
    eva = User.objects.create_user("eva", is_staff=True)
    return client.post(f"/admin/auth/user/{eva.pk}/change/", {"username": "eva", "is_staff": "on"})


def set_a_password(client: Client) -> Any:
    eva = User.objects.create_user("eva")
    return client.post(f"/admin/auth/user/{eva.pk}/password/", NEW_LOGIN | {"usable_password": "true"})


def add_a_role(client: Client) -> Any:
    return client.post("/admin/auth/group/add/", {"name": "clerk"})


def change_a_role(client: Client) -> Any:
    role = Group.objects.create(name="clerk")
    form = {"name": "clerk", "permissions": [Group.objects.get(name="auditor").permissions.first().pk]}
    return client.post(f"/admin/auth/group/{role.pk}/change/", form)


def delete_a_role(client: Client) -> Any:
    role = Group.objects.create(name="clerk")
    return client.post(f"/admin/auth/group/{role.pk}/delete/", {"post": "yes"})


def approve_access(client: Client) -> Any:
    role = Group.objects.get(name="support")
    request_role(User.objects.create_user("eva"), role, by=person("administrator", "first"))
    return client.post(
        f"/admin/logins/accessrequest/{AccessRequest.objects.get().pk}/change/", {"approve": "yes"}
    )


def a_known_person() -> None:
    a_delivery(an_event(0), a_route(a_source()))


def ask_for_an_erasure(client: Client) -> Any:
    a_known_person()
    return client.post("/admin/sync/erasure/request/", WHOM | {"ground": "consent-withdrawn"} | WHY)


def approve_an_erasure(client: Client) -> Any:
    a_known_person()
    request_erasure(
        find_subject("USER", "USR-0", None),
        ground="consent-withdrawn",
        reason="a letter",
        by=person("administrator", "first"),
    )
    return client.post(f"/admin/sync/erasure/{Erasure.objects.get().pk}/change/", {"confirm": "yes"})


def ask_for_an_export(client: Client) -> Any:
    return client.post("/admin/exports/export/new/", {"table": "csv"} | WHY)


def approve_an_export(client: Client) -> Any:
    export = a_requested_export(by=person("auditor", "first"))
    Export.objects.update(state="awaiting")
    return client.post(f"/admin/exports/export/{export.uuid}/approve/")


ACTS: dict[str, Callable[[Client], Any]] = {
    "event.revealed": reveal_an_event,
    "request.revealed": reveal_a_request,
    "source.captured-value-revealed": reveal_a_captured_value,
    "secret.added": rotate_a_secret,
    "secret.ended": end_a_secret,
    "secret.changed": change_credentials,
    "connection.created": add_a_connection_with_credentials,
    "person.created": add_a_login,
    "person.changed": change_roles,
    "person.changed ": disable_a_login,
    "person.password-changed": set_a_password,
    "group.created": add_a_role,
    "group.changed": change_a_role,
    "group.deleted": delete_a_role,
    "access.approved": approve_access,
    "erasure.requested": ask_for_an_erasure,
    "erasure.confirmed": approve_an_erasure,
    "export.requested": ask_for_an_export,
    "export.approved": approve_an_export,
}


# Those whose check is at a place of its own.
IN_GATE = {
    *(
        "event.revealed",
        "source.captured-value-revealed",
        "secret.added",
        "secret.ended",
        "secret.changed",
        "connection.created",
    ),
    *("person.changed", "person.password-changed", "group.deleted", "access.approved"),
    *("erasure.requested", "erasure.confirmed", "export.requested"),
}


@pytest.mark.parametrize("action", in_submission(ACTS, but=IN_GATE))
def test_an_act_waits_for_the_password_and_is_then_carried_out_as_it_was_sent(
    client: Client, action: str
) -> None:
    """Holds, for each act that needs a fresh log-in, that an old one changes nothing and loses nothing."""
    page = ACTS[action](client)
    assert page.status_code == 200
    assert PASSWORD_PAGE in page.content.decode()
    assert TYPED not in page.content.decode()
    assert not entries(action.strip())
    wrong = confirm(client, page, "a staple that is old")
    assert PASSWORD_PAGE in wrong.content.decode()
    assert "The password is incorrect." in wrong.content.decode()
    assert not entries(action.strip())
    assert confirm(client, wrong).status_code in (200, 302)
    assert len(entries(action.strip())) == 1
    assert len(entries("person.login-confirmed")) == 1


def a_finished_archive() -> str:
    export = a_requested_export()
    Export.objects.update(state="done")
    export.archive.parent.mkdir(parents=True, exist_ok=True)
    export.archive.write_bytes(b"archive")
    return f"/admin/exports/export/{export.uuid}/download/"


FILES: dict[str, tuple[str, Callable[[], str]]] = {
    "events": ("download.started", lambda: "/admin/webhooks/event/download/csv"),
    "audit log": ("download.started", lambda: "/admin/audit/entry/download/jsonl"),
    "evidence": ("export.downloaded", a_finished_archive),
    "events of a replay": (
        "replay.downloaded",
        lambda: (
            f"/admin/sync/personrequest/{a_replay(User.objects.get(username='anna')).uuid}/events/?format=csv"
        ),
    ),
}


@pytest.mark.parametrize("file", FILES)
def test_no_file_leaves_before_the_password(client: Client, file: str, settings: Any, tmp_path: Any) -> None:
    """Holds for each download that an old log-in gets no byte of it, and then the file that was asked for."""
    settings.EXPORT_FOLDER = str(tmp_path)
    action, address = FILES[file][0], FILES[file][1]()
    page = client.get(address)
    assert PASSWORD_PAGE in page.content.decode()
    assert not entries(action)
    back = client.post(address, {"confirm_login": "", "confirm_password": PASSWORD})
    assert back["Location"] == address
    answer = client.get(address)
    assert "attachment" in answer["Content-Disposition"]
    b"".join(answer.streaming_content)
    assert len(entries(action)) == 1


def test_a_log_in_is_fresh_for_fifteen_minutes_and_a_confirmed_one_again(client: Client) -> None:
    logged_in_before(client, FRESH_SECONDS - 60)
    assert add_a_role(client).status_code == 302
    logged_in_before(client, FRESH_SECONDS)
    confirm(client, client.post("/admin/auth/group/add/", {"name": "second"}))
    assert client.post("/admin/auth/group/add/", {"name": "third"}).status_code == 302
    assert set(Group.objects.values_list("name", flat=True)) >= {"clerk", "second", "third"}


def test_a_copied_cookie_gains_nothing_from_the_password_of_its_owner(client: Client) -> None:
    thief = Client()
    thief.cookies["sessionid"] = client.cookies["sessionid"].value
    confirm(client, add_a_role(client))
    answer = thief.post("/admin/auth/group/add/", {"name": "mine"})
    assert "/admin/login/" in answer["Location"]
    assert not Group.objects.filter(name="mine").exists()


def test_a_form_with_an_error_is_shown_again_before_the_password_is_asked_for(client: Client) -> None:
    page = client.post("/admin/auth/user/add/", NEW_LOGIN | {"password2": "another one entirely"})
    assert PASSWORD_PAGE not in page.content.decode()
    assert "eva" in page.content.decode()


def test_a_change_without_access_or_secrets_needs_no_password(client: Client) -> None:
    eva = User.objects.create_user("eva", is_staff=True)
    form = {"username": "eva", "is_active": "on", "is_staff": "on", "first_name": "Eva"}
    assert client.post(f"/admin/auth/user/{eva.pk}/change/", form).status_code == 302
    of = connection()
    save(client, f"/admin/sync/connection/{of.pk}/change/", connection_form(of, name="Renamed"))
    of.refresh_from_db()
    assert (User.objects.get(username="eva").first_name, of.name) == ("Eva", "Renamed")


def test_what_was_sent_to_one_page_is_not_carried_out_at_another(client: Client) -> None:
    page = add_a_role(client)
    key = re.search(r'name="confirm_login" value="([^"]+)"', page.content.decode())
    assert key
    answer = client.post("/admin/auth/user/add/", {"confirm_login": key[1], "confirm_password": PASSWORD})
    assert answer["Location"] == "/admin/auth/user/add/"
    assert "has expired. Nothing was changed" in client.get(answer["Location"]).content.decode()
    assert not Group.objects.filter(name="clerk").exists()


def test_guesses_of_the_password_are_limited_as_those_of_a_login_are(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = add_a_role(client)

    def refuse(*_: Any) -> Any:
        raise LoginRefused(60.0)

    monkeypatch.setattr(guard, "admit_attempt", refuse)
    refused = confirm(client, page)
    assert refused.status_code == 429
    assert "Wait 1 minute" in refused.content.decode()
    assert not Group.objects.filter(name="clerk").exists()
    monkeypatch.undo()
    guard.forget_refusals()
    confirm(client, refused)
    assert Group.objects.filter(name="clerk").exists()


def test_a_person_without_a_password_is_asked_to_log_in_again(client: Client) -> None:
    user = User.objects.get(username="anna")
    user.set_unusable_password()
    user.save()
    client.force_login(user)
    logged_in_before(client, FRESH_SECONDS)
    page = add_a_role(client).content.decode()
    assert "Log out and log in again." in page
    assert 'name="confirm_password"' not in page


def test_the_password_page_leads_to_no_other_site(client: Client) -> None:
    page = client.post("/admin/auth/group/add/", {"name": "clerk"}, headers={"Referer": "https://evil.test/"})
    assert "evil.test" not in page.content.decode()
    answer = {"confirm_login": "", "confirm_back": "https://evil.test/", "confirm_password": "wrong"}
    assert "evil.test" not in client.post("/admin/auth/group/add/", answer).content.decode()


def test_without_the_permission_no_password_is_asked_for() -> None:
    client = Client(raise_request_exception=False)
    client.force_login(a_person_with_password("support"))
    logged_in_before(client, FRESH_SECONDS)
    assert add_a_role(client).status_code == 403
    assert client.get("/admin/webhooks/event/download/csv").status_code == 403
