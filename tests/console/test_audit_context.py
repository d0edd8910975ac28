"""Audit log entries about staff contain their roles, their session and their request."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client

from audit.entries.actor_context import actor_context
from audit.entries.append import NewEntry, append_entries
from tests.support.builders.history import an_event
from tests.support.people import browser, circumstances, person, source

pytestmark = pytest.mark.django_db


def test_an_entry_contains_roles_session_and_request_and_not_the_session_key() -> None:
    client, event = browser("support"), an_event()
    for reason in ("they called", "they called again"):
        client.post(f"/admin/webhooks/event/{event.pk}/reveal/", {"reason": reason})
    first, second = circumstances("event.revealed")
    assert first["roles"] == ["support"]
    assert first["session"] == second["session"]
    assert len(first["session"]) == 12
    assert first["session"] not in client.cookies["sessionid"].value
    assert first["request"] != second["request"]


def test_all_entries_of_one_request_name_it() -> None:
    client = browser()
    source("a")
    client.get("/admin/webhooks/event/download/csv").getvalue()
    started, finished = circumstances("download.started") + circumstances("download.finished")
    assert started == finished
    assert started["roles"] == ["superuser"]


def test_the_roles_are_those_from_before_the_request_changed_them() -> None:
    client, role = browser(name="root"), Group.objects.create(name="clerk")
    User.objects.get(username="root").groups.add(role)
    client.post(f"/admin/auth/group/{role.pk}/change/", {"name": "helpdesk", "permissions": []})
    assert Group.objects.filter(name="helpdesk").exists()
    [circumstance] = circumstances("group.changed")
    assert "clerk" in circumstance["roles"]
    assert "helpdesk" not in circumstance["roles"]


def test_a_login_records_its_new_session_and_a_failed_one_none() -> None:
    user = person("auditor", "eva")
    user.set_password("correct horse battery")
    user.save()
    client = Client()
    for password in ("wrong", "correct horse battery"):
        client.post("/admin/login/", {"username": "eva", "password": password})
    client.post("/admin/logout/")
    (came,), (went,) = circumstances("person.logged-in"), circumstances("person.logged-out")
    assert (came["roles"], came["session"]) == (["auditor"], went["session"])
    assert came["session"]
    assert circumstances("person.login-failed") == [{}]


def test_work_in_the_background_is_not_attributed_to_the_request() -> None:
    with transaction.atomic(), actor_context(lambda: {"request": "1"}):
        append_entries(NewEntry("system", "moon.was-full"), NewEntry("system", "moon.was-seen", "person:1"))
    with transaction.atomic():
        append_entries(NewEntry("system", "moon.was-new", "person:1"))
    found = [circumstances(action) for action in ("moon.was-full", "moon.was-seen", "moon.was-new")]
    assert found == [[{}], [{"request": "1"}], [{}]]
