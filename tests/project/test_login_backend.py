"""Permissions of a user: the same as Django's, in one statement."""

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integration_hub.login_backend import LimitedLoginBackend
from tests.support.people import person

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ["support", ""])
@pytest.mark.parametrize("is_active", [True, False])
def test_the_permissions_are_those_that_django_finds(role: str, is_active: bool) -> None:
    user = person(role)
    user.user_permissions.add(Permission.objects.get(codename="delete_session"))
    User.objects.update(is_active=is_active)
    expected = ModelBackend().get_all_permissions(User.objects.get())
    assert LimitedLoginBackend().get_all_permissions(User.objects.get()) == expected
    assert bool(expected) == is_active


def test_permissions_cost_one_statement_and_are_cached() -> None:
    user = User.objects.get(pk=person("support").pk)
    with CaptureQueriesContext(connection) as captured:
        assert user.has_perm("webhooks.replay_event")
        assert not user.has_perm("auth.view_user")
    assert len(captured) == 1


def test_an_anonymous_user_has_no_permission() -> None:
    assert LimitedLoginBackend().get_all_permissions(AnonymousUser()) == set()
