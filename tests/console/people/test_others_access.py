"""Who may change the login of somebody who may do more: superusers only, and a password is never a way up."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from tests.support.people import browser, entries, person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

PEOPLE = "/admin/auth/user/"
PASSWORD = {"password1": "a staple that is new", "password2": "a staple that is new"}


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
    direct = User.objects.create_user("direct", is_staff=True)
    direct.user_permissions.add(Permission.objects.get(codename="view_contents"))
    User.objects.exclude(username="anna").update(is_active=is_active)
    cases = ((payloads, False), (evidence, False), (equal, True), (without, True), (direct, False))
    for other, is_allowed in cases:
        answer = client.post(f"{PEOPLE}{other.pk}/password/", PASSWORD)
        assert answer.status_code == (302 if is_allowed else 403)
        assert has_new_password(other) == is_allowed
        page = client.get(f"{PEOPLE}{other.pk}/change/").content.decode()
        assert ("../password/" in page) == is_allowed
    root = browser(name="root")
    assert root.post(f"{PEOPLE}{payloads.pk}/password/", PASSWORD).status_code == 302
    assert has_new_password(payloads)


def test_the_rest_of_a_login_with_more_permissions_can_still_be_changed() -> None:
    client, eva = browser("administrator", "anna"), person("support", "eva")
    form = {"username": "eva", "last_name": "Aalto", "is_staff": "on", "groups": [eva.groups.get().pk]}
    assert client.post(f"{PEOPLE}{eva.pk}/change/", form).status_code == 302
    eva.refresh_from_db()
    assert (eva.last_name, eva.is_active) == ("Aalto", False)
