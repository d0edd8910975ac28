"""The three groups, and the pages of each."""

import importlib
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client

from logins.overseers import CORE_PERMISSIONS
from tests.support.people import entries, event, person, source

pytestmark = pytest.mark.django_db

# Permissions that several roles could have, each with those that have it.
HOLDERS = {
    "webhooks.replay_event": {"support", "administrator"},
    "webhooks.view_contents": {"support"},
    "webhooks.see_learning_requests": {"administrator"},
    "webhooks.download_event": {"auditor", "administrator"},
    "audit.view_entry": {"auditor", "administrator"},
    "auth.change_group": {"administrator"},
    "sync.approve_delivery": {"support", "administrator"},
    "sync.snooze_alarm": {"support", "administrator"},
    "sync.change_connection": {"administrator"},
    "sync.activate_mapping": {"administrator"},
    "sync.run_comparison": {"support", "administrator"},
    "sync.view_differences": {"support", "auditor", "administrator"},
    "sync.view_breaker": {"support", "auditor", "administrator"},
    "sync.view_alarm": {"support", "auditor", "administrator"},
    "exports.view_export": {"auditor", "administrator"},
    "exports.request_export": {"auditor"},
}


@pytest.mark.one_database
def test_a_role_holds_what_its_work_needs() -> None:
    people = {role: person(role) for role in ("support", "auditor", "administrator")}
    holders = {name: {role for role, one in people.items() if one.has_perm(name)} for name in HOLDERS}
    assert holders == HOLDERS


def test_the_table_of_roles_in_the_documentation_is_what_they_hold() -> None:
    """Holds that administrators read which permissions a role gives: each of them is in one row of the table."""
    page = (Path(__file__).parents[2] / "docs/operations/run.md").read_text()
    head, *lines = re.findall(
        r"^\|.*\|$", page[page.index("| may | permissions |") :].partition("\n\n")[0], re.M
    )
    roles = re.findall(r"`(\w+)`", head)
    documented: dict[str, list[str]] = {role: [] for role in roles}
    for _, _, names, *cells, _ in (line.split("|") for line in lines[1:]):
        for role, cell in zip(roles, cells, strict=True):
            documented[role] += re.findall(r"`(\w+)`", names) if cell.strip() == "yes" else []
    held = {
        role.name: sorted(role.permissions.values_list("codename", flat=True)) for role in Group.objects.all()
    }
    assert {role: sorted(names) for role, names in documented.items()} == held


def test_the_core_of_a_role_is_what_it_is_created_with() -> None:
    """The auditor keeps everything; the others can lose what is not core, such as reading payloads."""
    roles = importlib.import_module("console.migrations.0002_roles").ROLES
    created = {
        name: {
            f"{label}.{codename}"
            for grant in grants
            for label, codenames in grant.items()
            for codename in codenames
        }
        for name, grants in roles.items()
    }
    later = importlib.import_module("console.migrations.0003_comparison_permissions").GRANTS
    for name, codenames in later.items():
        created[name] |= {f"sync.{codename}" for codename in codenames}
    assert created["auditor"] == CORE_PERMISSIONS["auditor"]
    assert all(CORE_PERMISSIONS[name] <= held for name, held in created.items())
    assert created.keys() == CORE_PERMISSIONS.keys()


@pytest.mark.submission
@pytest.mark.parametrize(("role", "taken"), [("support", "replay_event"), ("auditor", "request_export")])
def test_creating_the_roles_twice_adds_missing_permissions_only(role: str, taken: str) -> None:
    group = Group.objects.get(name=role)
    before = set(group.permissions.values_list("codename", flat=True))
    group.permissions.remove(group.permissions.get(codename=taken))
    extra = Group.objects.get(name="administrator").permissions.get(codename="change_source")
    group.permissions.add(extra)
    migration = importlib.import_module("console.migrations.0002_roles")
    migration.create_roles(apps, type("Editor", (), {"connection": connection}))
    assert set(group.permissions.values_list("codename", flat=True)) == before | {"change_source"}


@pytest.mark.promise("T25")
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
