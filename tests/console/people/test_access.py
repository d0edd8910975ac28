"""Two people who remove each other's permission to change people at the same moment: one of them keeps it."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connections, transaction
from django.test import Client

from console.people import admin as people_admin
from console.people.access import lock_permission_changes, users_who_can_change_users
from tests.support.people import browser

pytestmark = pytest.mark.concurrent
ROLES = ("people of anna", "people of eva")
Request = tuple[str, dict[str, Any]]


@pytest.fixture
def roles(database: None) -> Iterator[None]:
    """Delete the roles that this test creates: all others stay over all tests."""
    yield
    Group.objects.filter(name__in=ROLES).delete()


def switching_off(other: User) -> Request:
    return f"/admin/auth/user/{other.pk}/change/", {"username": other.username}


def emptying_the_role(other: User) -> Request:
    role = other.groups.get()
    return f"/admin/auth/group/{role.pk}/change/", {"name": role.name, "permissions": []}


def with_a_role_of_ones_own(name: str) -> Client:
    client = browser("support", name)
    role = Group.objects.create(name=f"people of {name}")
    role.permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    User.objects.get(username=name).groups.set([role])
    return client


def with_permissions_of_ones_own(name: str) -> Client:
    client = browser("support", name)
    own = Permission.objects.filter(content_type__app_label="auth")
    User.objects.get(username=name).user_permissions.set(own)
    return client


def at_once(posts: Sequence[Callable[[], Any]]) -> list[int]:
    """Send these requests at the same moment. Returns their statuses."""

    def one(post: Callable[[], Any]) -> int:
        try:
            return int(post().status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(posts)) as people:
        with transaction.atomic():
            lock_permission_changes()
            answers = [people.submit(one, post) for post in posts]
            time.sleep(0.5)
        return [answer.result() for answer in answers]


PAIRS = [
    (with_a_role_of_ones_own, switching_off),
    (with_a_role_of_ones_own, emptying_the_role),
    (with_permissions_of_ones_own, switching_off),
]


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(("made", "taking"), PAIRS)
def test_a_change_is_checked_after_another_one_that_was_first_at_the_lock(
    roles: None,
    made: Callable[[str], Client],
    taking: Callable[[User], Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, _ = made("anna"), made("eva")
    of_anna, of_eva = (User.objects.get(username=name) for name in ("anna", "eva"))
    lock, waiting = lock_permission_changes, [of_eva]

    def let_the_other_one_be_first() -> None:
        if waiting:
            other = Client()
            other.force_login(waiting.pop())
            statuses.append(other.post(*taking(of_anna)).status_code)
        lock()

    monkeypatch.setattr(people_admin, "lock_permission_changes", let_the_other_one_be_first)
    statuses: list[int] = []
    statuses.append(client.post(*taking(of_eva)).status_code)
    # Both are in one transaction here, so the refusal of the later one takes the first one back too.
    assert statuses[0] == 302
    assert statuses[1] in (200, 403)
    assert users_who_can_change_users().exists()


@pytest.mark.nightly
@pytest.mark.parametrize(("made", "taking"), PAIRS)
def test_of_two_people_who_remove_each_others_permission_one_keeps_it(
    roles: None, made: Callable[[str], Client], taking: Callable[[User], Request]
) -> None:
    anna, eva = made("anna"), made("eva")
    of_anna, of_eva = (User.objects.get(username=name) for name in ("anna", "eva"))
    assert users_who_can_change_users().count() == 2
    statuses = at_once([lambda: anna.post(*taking(of_eva)), lambda: eva.post(*taking(of_anna))])
    assert users_who_can_change_users().count() == 1
    assert statuses.count(302) == 1
    assert set(statuses) <= {200, 302, 403}
