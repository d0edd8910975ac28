"""The three groups, and the pages of each."""

import importlib

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client

from tests.support.people import browser, entries, event, person, source

pytestmark = pytest.mark.django_db

PAGES = {
    "/admin/webhooks/event/": {"support", "auditor", "administrator"},
    "/admin/webhooks/source/": {"support", "auditor", "administrator"},
    "/admin/sync/mapping/": {"support", "auditor", "administrator"},
    "/admin/audit/entry/": {"auditor", "administrator"},
    "/admin/audit/entry/download/csv": {"auditor", "administrator"},
    "/admin/webhooks/event/download/jsonl": {"auditor", "administrator"},
    "/admin/exports/export/": {"auditor", "administrator"},
    "/admin/exports/export/new/": {"auditor"},
    "/admin/sync/alarm/": {"support", "auditor", "administrator"},
    "/admin/sync/delivery/": {"support", "auditor", "administrator"},
    "/admin/sync/erasure/": {"administrator"},
    "/admin/sync/erasure/find/": {"administrator"},
    "/admin/webhooks/entity/": {"support", "auditor", "administrator"},
    "/admin/webhooks/source/add/": {"administrator"},
    "/admin/sync/connection/add/": {"administrator"},
    "/admin/sync/route/add/": {"administrator"},
    "/admin/auth/user/add/": {"administrator"},
    "/admin/auth/group/": {"administrator"},
}


@pytest.mark.one_database
@pytest.mark.parametrize("role", ["support", "auditor", "administrator"])
@pytest.mark.parametrize("page", PAGES)
def test_each_role_opens_its_pages_and_is_refused_the_others(page: str, role: str) -> None:
    answer = browser(role).get(page)
    assert answer.status_code == (200 if role in PAGES[page] else 403)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("role", "permission", "holds"),
    [
        ("support", "webhooks.replay_event", True),
        ("support", "webhooks.view_contents", True),
        ("support", "webhooks.download_event", False),
        ("support", "audit.view_entry", False),
        ("auditor", "webhooks.replay_event", False),
        ("auditor", "webhooks.view_contents", False),
        ("auditor", "webhooks.download_event", True),
        ("administrator", "webhooks.replay_event", True),
        ("administrator", "webhooks.view_contents", False),
        ("administrator", "auth.change_group", True),
        ("support", "sync.approve_delivery", True),
        ("support", "sync.snooze_alarm", True),
        ("support", "sync.change_connection", False),
        ("auditor", "sync.view_breaker", True),
        ("auditor", "sync.approve_delivery", False),
        ("auditor", "sync.snooze_alarm", False),
        ("administrator", "sync.approve_delivery", True),
        ("administrator", "sync.snooze_alarm", True),
        ("administrator", "sync.view_alarm", True),
        ("auditor", "exports.request_export", True),
        ("administrator", "exports.view_export", True),
        ("administrator", "exports.request_export", False),
        ("support", "exports.view_export", False),
        ("administrator", "sync.activate_mapping", True),
        ("support", "sync.activate_mapping", False),
    ],
)
def test_a_role_holds_what_its_work_needs(role: str, permission: str, holds: bool) -> None:
    assert person(role).has_perm(permission) is holds


@pytest.mark.parametrize(
    ("role", "taken"),
    [
        ("support", "replay_event"),
        ("support", "approve_delivery"),
        ("auditor", "request_export"),
        ("administrator", "activate_mapping"),
    ],
)
def test_creating_the_roles_twice_adds_missing_permissions_only(role: str, taken: str) -> None:
    group = Group.objects.get(name=role)
    before = set(group.permissions.values_list("codename", flat=True))
    group.permissions.remove(group.permissions.get(codename=taken))
    extra = Group.objects.get(name="administrator").permissions.get(codename="change_source")
    group.permissions.add(extra)
    migration = importlib.import_module("console.migrations.0002_roles")
    migration.create_roles(apps, type("Editor", (), {"connection": connection}))
    assert set(group.permissions.values_list("codename", flat=True)) == before | {"change_source"}


def test_a_person_without_a_group_sees_nothing() -> None:
    nobody = User.objects.create_user("nobody", is_staff=True)
    client = Client(raise_request_exception=False)
    client.force_login(nobody)
    assert {client.get(page).status_code for page in PAGES} == {403}


def test_a_stranger_is_sent_to_the_login() -> None:
    client = Client(raise_request_exception=False)
    assert all("/admin/login/" in client.get(page)["Location"] for page in PAGES)


def test_a_refused_download_is_on_the_audit_log() -> None:
    event(source())
    support = person("support")
    client = Client(raise_request_exception=False)
    client.force_login(support)
    assert client.get("/admin/webhooks/event/download/csv?state=dead").status_code == 403
    (refused,) = entries("download.refused")
    assert refused["actor"] == f"person:{support.pk}"
    assert refused["details"] == {
        "what": "events",
        "format": "csv",
        "filters": {"state": "dead"},
        "address": "127.0.0.1",
    }
