"""A password that someone else set opens nothing but the page on which its owner chooses another."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client

from devtools.management.commands.seed_sandbox import Command as SeedCommand
from tests.support.people import browser, entries, person
from tests.support.rows import in_submission

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

GIVEN, OWN = "given-Xk29-password", "chosen-Qv81-password"
PAGE = "/admin/password_change/"


def by_form(_: Any) -> str:
    role = Group.objects.get(name="support").pk
    form = {
        "username": "new",
        "password1": GIVEN,
        "password2": GIVEN,
        "usable_password": "true",
        "groups": [role],
    }
    assert browser("").post("/admin/auth/user/add/", form).status_code == 302
    return GIVEN


def by_a_new_password(_: Any) -> str:
    known = person("support", "new")
    form = {"password1": GIVEN, "password2": GIVEN, "usable_password": "true"}
    assert browser("").post(f"/admin/auth/user/{known.pk}/password/", form).status_code == 302
    return GIVEN


def by_break_glass(_: Any) -> str:
    person("support", "new")
    out = StringIO()
    call_command("break_glass", "reset-login", "new", "--reason", "a test", stdout=out)
    return out.getvalue().split("Password, shown once: ")[1].splitlines()[0]


def by_changepassword(monkeypatch: pytest.MonkeyPatch) -> str:
    person("support", "new")
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: GIVEN)
    call_command("changepassword", "new", stdout=StringIO())
    assert [entry["actor"] for entry in entries("person.password-changed")] == ["system"]
    return GIVEN


def by_createsuperuser(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", GIVEN)
    call_command("createsuperuser", "--noinput", "--username", "new", "--email", "a@example.com")
    return GIVEN


def by_seed(_: Any) -> str:
    line = SeedCommand()._create_login("support")
    User.objects.update(username="new")
    return line.split()[1]


@pytest.mark.parametrize(
    "give",
    in_submission(
        [by_form, by_a_new_password, by_break_glass, by_changepassword, by_createsuperuser, by_seed],
        but=[by_form, by_changepassword],
    ),
)
def test_a_given_password_is_changed_at_the_first_login(
    give: Callable[[pytest.MonkeyPatch], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = give(monkeypatch)
    client = Client()
    assert client.login(username="new", password=given)
    for address in ("/admin/", "/admin/webhooks/event/", "/admin/preferences/", "/admin/nowhere/"):
        assert client.get(address)["Location"] == PAGE, address
    assert client.post("/admin/preferences/", {"zone": "Europe/Helsinki"})["Location"] == PAGE
    assert "Someone else set your password." in client.get(PAGE).content.decode()
    same = {"old_password": given, "new_password1": given, "new_password2": given}
    assert "Choose another password than the current one." in client.post(PAGE, same).content.decode()
    assert client.get("/admin/")["Location"] == PAGE
    chosen = {"old_password": given, "new_password1": OWN, "new_password2": OWN}
    assert client.post(PAGE, chosen).status_code == 302
    assert client.get("/admin/").status_code == 200
    later = Client()
    assert later.login(username="new", password=OWN)
    assert later.get("/admin/").status_code == 200


def test_a_chosen_password_and_those_of_the_demo_are_not_changed(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEBUG = True
    demo = SeedCommand()._create_login("administrator").split()
    monkeypatch.setattr("builtins.input", lambda *_: "first")
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: OWN)
    call_command("createsuperuser", "--email", "a@example.com", stdin=Terminal())
    for name, password in (demo, ("first", OWN)):
        client = Client()
        assert client.login(username=name, password=password)
        assert client.get("/admin/").status_code == 200


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True
