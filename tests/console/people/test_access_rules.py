"""Who may change whose access: nobody their own, nobody that of people who may do more; logins are never deleted."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import ProtectedError
from django.test import Client

from console.models import SavedView
from logins.attempt_counts import count_failures
from logins.limits import Account, rate_limits_for
from logins.models import AccessRequest, HeldPermission
from tests.support.pages import text_of
from tests.support.people import browser, entries, let_set_password, person
from webhooks.models.rate_limit import RateLimitState

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

PEOPLE = "/admin/auth/user/"
PASSWORD = {"password1": "a staple that is new", "password2": "a staple that is new"}
EVERYTHING: dict[str, Any] = {"is_active": "on", "is_staff": "on", "is_superuser": "on"}


def every_permission() -> list[int]:
    without_page = ("admin", "contenttypes", "sessions")
    offered = Permission.objects.exclude(content_type__app_label__in=without_page)
    return list(offered.values_list("pk", flat=True))


def every_role() -> list[int]:
    return list(Group.objects.values_list("pk", flat=True))


def access_of(person: User) -> tuple[bool, bool, bool, set[int], set[int]]:
    fresh = User.objects.get(pk=person.pk)
    groups, permissions = (
        set(rows.values_list("pk", flat=True)) for rows in (fresh.groups, fresh.user_permissions)
    )
    return fresh.is_active, fresh.is_staff, fresh.is_superuser, groups, permissions


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("role", ["administrator", ""])
@pytest.mark.parametrize("flags", [EVERYTHING, {}], ids=["more", "less"])
def test_a_person_changes_their_own_names_and_nothing_of_their_access(
    role: str, flags: dict[str, Any]
) -> None:
    client = browser(role, "anna")
    anna = User.objects.get(username="anna")
    before = access_of(anna)
    form = flags | ({"groups": every_role(), "user_permissions": every_permission()} if flags else {})
    form |= {"username": "anna", "last_name": "Aalto"}
    assert client.post(f"{PEOPLE}{anna.pk}/change/", form).status_code == 302
    assert access_of(anna) == before
    anna.refresh_from_db()
    assert anna.last_name == "Aalto"
    assert not AccessRequest.objects.exists()


def test_ones_own_password_is_changed_on_the_page_that_asks_for_the_old_one() -> None:
    client = browser("administrator", "anna")
    anna = User.objects.get(username="anna")
    answer = client.post(f"{PEOPLE}{anna.pk}/password/", PASSWORD)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/password_change/")
    assert not User.objects.get(pk=anna.pk).check_password(PASSWORD["password1"])
    anna.set_password("correct horse battery")
    anna.save()
    client.force_login(anna)
    form = {"old_password": "correct horse battery"}
    form |= {"new_password1": "a staple that is new", "new_password2": "a staple that is new"}
    assert client.post("/admin/password_change/", form).status_code == 302
    assert User.objects.get(pk=anna.pk).check_password("a staple that is new")


@pytest.mark.parametrize("role", ["administrator", ""])
def test_no_form_makes_a_superuser_or_gives_permissions_without_a_role(role: str) -> None:
    client, anna = browser(role, "eva"), person("support", "anna")
    form = EVERYTHING | {"user_permissions": every_permission()}
    client.post(f"{PEOPLE}{anna.pk}/change/", form | {"username": "anna"})
    assert client.post(f"{PEOPLE}add/", form | {"username": "new", **PASSWORD}).status_code == 302
    for name in ("anna", "new"):
        changed = User.objects.get(username=name)
        assert (changed.is_superuser, list(changed.user_permissions.all())) == (False, [])
    for page in (f"{PEOPLE}{anna.pk}/change/", f"{PEOPLE}add/"):
        text = client.get(page).content.decode()
        assert 'name="is_superuser"' not in text
        assert 'name="user_permissions"' not in text


def test_permissions_that_no_role_gives_are_shown() -> None:
    anna = person("support", "anna")
    client = browser()
    assert "Can view erasure" not in client.get(f"{PEOPLE}{anna.pk}/change/").content.decode()
    anna.user_permissions.add(Permission.objects.get(codename="view_erasure"))
    assert "Can view erasure" in client.get(f"{PEOPLE}{anna.pk}/change/").content.decode()


@pytest.mark.parametrize("deed", ["change", "delete"])
def test_no_one_can_change_or_delete_a_role_that_they_hold(deed: str) -> None:
    client = browser("administrator", "anna")
    role = Group.objects.get(name="administrator")
    before = set(role.permissions.values_list("pk", flat=True))
    address = f"/admin/auth/group/{role.pk}/{deed}/"
    for permissions in (every_permission(), []):
        form = {"name": role.name, "permissions": permissions, "post": "yes"}
        assert client.post(address, form).status_code == 403
    assert set(role.permissions.values_list("pk", flat=True)) == before
    assert not entries("group.changed") + entries("group.deleted")
    form = {"name": role.name, "permissions": list(before)[1:]}
    assert browser().post(f"/admin/auth/group/{role.pk}/change/", form).status_code == 302


def has_new_password(person: User) -> bool:
    return bool(User.objects.get(pk=person.pk).check_password(PASSWORD["password1"]))


def forms_of(person: User) -> Mapping[str, dict[str, Any]]:
    """Return each form about a login, with values that take it over or switch it off."""
    return {
        f"{PEOPLE}{person.pk}/change/": {"username": "mine", "email": "mine@example.com", "reason": "left"},
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
    # The password is requested: a superuser reads the audit log.
    let_set_password(User.objects.get(username="other"), root)
    assert [other.post(address, form).status_code for address, form in forms_of(root).items()] == [302] * 3


@pytest.mark.submission
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
    let_set_password(User.objects.get(username="anna"), equal)
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


@pytest.mark.submission
@pytest.mark.parametrize("role", ["administrator", ""])
def test_no_page_or_action_can_delete_a_login(role: str) -> None:
    anna, client = person("support", "anna"), browser(role, "eva")
    User.objects.get(username="eva").user_permissions.add(Permission.objects.get(codename="delete_user"))
    assert "/delete/" not in client.get(f"{PEOPLE}{anna.pk}/change/").content.decode()
    assert client.get(f"{PEOPLE}{anna.pk}/delete/").status_code == 403
    assert client.post(f"{PEOPLE}{anna.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(PEOPLE, {"action": "delete_selected", "_selected_action": [anna.pk], "post": "yes"})
    assert User.objects.filter(pk=anna.pk).exists()
    assert not entries("person.deleted")


def test_the_orm_also_refuses_and_keeps_the_login() -> None:
    anna = person("support", "anna")
    SavedView.objects.create(person=anna, name="mine", is_shared=True)
    for delete in (anna.delete, User.objects.filter(pk=anna.pk).delete):
        with pytest.raises(ProtectedError), transaction.atomic():
            delete()
    assert User.objects.filter(pk=anna.pk).exists()
    assert SavedView.objects.count() == 1
    assert anna.groups.count() == 1
    assert HeldPermission.objects.filter(person=anna).exists()


def test_the_audit_log_names_a_person_who_was_switched_off_until_the_name_is_erased() -> None:
    anna, client = person("support", "anna"), browser()
    form = {"username": "anna", "is_staff": "on", "groups": [anna.groups.get().pk]}
    assert client.post(f"{PEOPLE}{anna.pk}/change/", form).status_code == 302
    assert not User.objects.get(pk=anna.pk).is_active
    log = "/admin/audit/entry/"
    assert "anna" in text_of(client.get(log))
    client.post(f"{PEOPLE}{anna.pk}/change/", form | {"username": f"former-{anna.pk}"})
    page = text_of(client.get(log))
    assert f"former-{anna.pk}" in page
    assert "anna" not in page
    assert "anna" not in "".join(str(entry) for entry in entries("person.changed"))


OLD_PASSWORD = "correct horse battery"


def log_in(address: str, password: str = OLD_PASSWORD) -> int:
    form = {"username": "anna", "password": password}
    return Client().post("/admin/login/", form, REMOTE_ADDR=address).status_code


def test_an_administrator_sees_failed_logins_and_unlocks_a_login_for_an_address() -> None:
    anna, client = person("support", "anna"), browser()
    anna.set_password(OLD_PASSWORD)
    anna.save()
    count_failures(anna.pk, "192.0.2.7", wrong=3)
    unlock = f"/admin/auth/user/{anna.pk}/unlock/"
    assert 'href="../unlock/"' in client.get(f"/admin/auth/user/{anna.pk}/change/").content.decode()
    assert "192.0.2.7" in client.get(unlock).content.decode()
    for _ in range(10):
        spend(anna.pk)
    assert log_in("198.51.100.1") == 429
    assert "6 minutes" in client.get(unlock).content.decode()
    assert client.post(unlock, {"address": "nowhere"}).status_code == 200
    assert log_in("198.51.100.1") == 429
    assert client.post(unlock, {"address": "198.51.100.1"}).status_code == 302
    assert log_in("198.51.100.1") == 302
    [entry] = entries("person.unlocked")
    assert (entry["stream"], entry["details"]["allowed"]) == (f"person:{anna.pk}", "198.51.100.1")


def spend(person_number: int) -> None:
    """Use one attempt of the limit of an account up."""
    account = Account(person_number, str(person_number))
    [(key, limit)] = rate_limits_for(account, "", is_known=False).items()
    RateLimitState.spend(key, 1, limit, 0)
