"""The session table holds no key that opens a session."""

from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from logins import sessions
from tests.support.people import browser, person

pytestmark = pytest.mark.django_db

HOME = "/admin/"


def opens(session_key: str) -> bool:
    """Return True if a cookie with this key opens the console."""
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = session_key
    return client.get(HOME).status_code == 200


def test_a_copy_of_the_table_opens_no_session() -> None:
    client = browser("support")
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert opens(key)
    stored = list(Session.objects.values_list("session_key", flat=True))
    assert len(stored) == 1
    assert key not in stored
    assert not any(opens(row) for row in stored)


def test_a_logout_ends_the_session() -> None:
    client = browser("support")
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    client.post("/admin/logout/")
    assert not Session.objects.exists()
    assert not opens(key)


def test_a_new_password_ends_the_sessions_of_a_person_everywhere() -> None:
    anna = person("support", "anna")
    here, there = Client(), Client()
    for client in (here, there):
        client.force_login(anna)
    anna.set_password("a staple that is new")
    anna.save()
    assert [client.get(HOME).status_code for client in (here, there)] == [302, 302]


def test_a_login_replaces_the_key_of_the_session_and_its_row() -> None:
    User.objects.create_user("anna", password="correct horse battery", is_staff=True)
    client = Client()
    session: Any = client.session
    session["zone"] = "Europe/Helsinki"
    session.save()
    before = session.session_key
    client.cookies[settings.SESSION_COOKIE_NAME] = before
    form = {"username": "anna", "password": "correct horse battery"}
    assert client.post("/admin/login/", form).status_code == 302
    after = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert after != before
    assert list(Session.objects.values_list("session_key", flat=True)) == [sessions.stored_key(after)]


def test_a_session_is_used_in_the_same_way_from_asynchronous_code() -> None:
    @async_to_sync
    async def use() -> tuple[Any, bool, bool]:
        store = import_module(settings.SESSION_ENGINE).SessionStore()
        await store.aset("a", 1)
        await store.asave()
        again = sessions.SessionStore(store.session_key)
        value, exists = await again.aget("a"), await again.aexists(store.session_key)
        await again.adelete()
        return value, exists, await again.aexists(store.session_key)

    assert use() == (1, True, False)
    assert not Session.objects.exists()
