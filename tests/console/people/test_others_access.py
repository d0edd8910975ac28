"""Who may change the login of somebody who may do more: superusers only, and a password is never a way up."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from console.people.admin import PersonAdmin
from tests.support.people import browser, entries, person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

PEOPLE = "/admin/auth/user/"
PASSWORD = {"password1": "a staple that is new", "password2": "a staple that is new"}
RULE = "This person has permissions that you lack, and the password gives access to all of them."


def has_new_password(person: User) -> bool:
    return bool(User.objects.get(pk=person.pk).check_password(PASSWORD["password1"]))


def forms_of(person: User) -> Mapping[str, dict[str, Any]]:
    """Return each form about a login, with values that take it over or switch it off."""
    return {
        f"{PEOPLE}{person.pk}/change/": {"username": "mine", "email": "mine@example.com"},
        f"{PEOPLE}{person.pk}/password/": PASSWORD,
        f"{PEOPLE}{person.pk}/unlock/": {"address": "192.0.2.7"},
    }


def test_only_a_superuser_changes_the_login_of_a_superuser() -> None:
    root, client = person(name="root"), browser("administrator", "anna")
    before = User.objects.filter(pk=root.pk).values().get()
    for address, form in forms_of(root).items():
        assert client.post(address, form).status_code == 403, address
    assert User.objects.filter(pk=root.pk).values().get() == before
    assert not entries("person.changed") + entries("person.unlocked") + entries("person.password-changed")
    page = client.get(f"{PEOPLE}{root.pk}/change/").content.decode()
    assert "Only superusers can change this login." in page
    assert "../password/" not in page
    assert 'name="_save"' not in page
    other = browser(name="other")
    assert [other.post(address, form).status_code for address, form in forms_of(root).items()] == [302] * 3


@pytest.mark.parametrize("is_active", [True, False])
def test_a_password_is_set_by_people_who_lack_no_permission_of_the_person(is_active: bool) -> None:
    client = browser("administrator", "anna")
    payloads, evidence, equal, without = (
        person("support", "eva"),
        person("auditor", "olli"),
        person("administrator", "liisa"),
        User.objects.create_user("new", is_staff=True),
    )
    User.objects.exclude(username="anna").update(is_active=is_active)
    for other, is_allowed in ((payloads, False), (evidence, False), (equal, True), (without, True)):
        answer = client.post(f"{PEOPLE}{other.pk}/password/", PASSWORD)
        assert answer.status_code == (302 if is_allowed else 403)
        assert has_new_password(other) == is_allowed
        page = client.get(f"{PEOPLE}{other.pk}/change/").content.decode()
        assert ("../password/" in page) == is_allowed
        assert (RULE in page) != is_allowed
    root = browser(name="root")
    assert root.post(f"{PEOPLE}{payloads.pk}/password/", PASSWORD).status_code == 302
    assert has_new_password(payloads)


def test_a_permission_without_a_role_counts_too() -> None:
    client, eva = browser("administrator", "anna"), User.objects.create_user("eva")
    eva.user_permissions.add(Permission.objects.get(codename="view_contents"))
    assert client.post(f"{PEOPLE}{eva.pk}/password/", PASSWORD).status_code == 403


def test_the_rest_of_a_login_with_more_permissions_can_still_be_changed() -> None:
    client, eva = browser("administrator", "anna"), person("support", "eva")
    form = {"username": "eva", "last_name": "Aalto", "is_staff": "on", "groups": [eva.groups.get().pk]}
    assert client.post(f"{PEOPLE}{eva.pk}/change/", form).status_code == 302
    eva.refresh_from_db()
    assert (eva.last_name, eva.is_active) == ("Aalto", False)


def take_over(client: Client) -> bool:
    """Set the password of a superuser and of a person who reads payloads. Returns True if one was set."""
    others = [person(name="root"), person("support", "eva")]
    for other in others:
        client.post(f"{PEOPLE}{other.pk}/password/", PASSWORD)
    return any(map(has_new_password, others))


def with_anybodys_password(variant: pytest.MonkeyPatch) -> None:
    variant.setattr("console.people.admin.may_set_password", lambda *_: True)
    variant.delattr(PersonAdmin, "has_change_permission")


@pytest.mark.parametrize("breaks", [None, with_anybodys_password])
def test_a_variant_that_lets_administrators_take_over_logins_is_caught(
    monkeypatch: pytest.MonkeyPatch, breaks: Any
) -> None:
    client = browser("administrator", "anna")
    if breaks is not None:
        breaks(monkeypatch)
    assert take_over(client) == (breaks is not None)
