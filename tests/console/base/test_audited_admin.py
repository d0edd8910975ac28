"""The actions of staff are recorded in the audit log and nowhere else."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User

from console.base.audited_admin import AuditedAdmin
from console.base.read_only_admin import ReadOnlyAdmin
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.people import browser, entries

pytestmark = pytest.mark.django_db

WHY = {"reason": "asked for"}
PASSWORD = {"password1": "a staple that is new", "password2": "a staple that is new"}


def test_every_page_that_changes_rows_is_audited() -> None:
    """Erasing a person checks texts of staff; Django's own log is not checked, because nothing writes to it."""
    other = [
        model_admin
        for model_admin in admin.site._registry.values()
        if not isinstance(model_admin, ReadOnlyAdmin)
    ]
    assert [model_admin for model_admin in other if not isinstance(model_admin, AuditedAdmin)] == []


def test_adding_changing_and_deleting_is_recorded_in_the_audit_log_only() -> None:
    client, groups = browser("administrator"), "/admin/auth/group/"
    assert client.post(f"{groups}add/", {"name": "watch"}).status_code == 302
    role = Group.objects.get(name="watch")
    assert client.post(f"{groups}{role.pk}/change/", {"name": "night watch"}).status_code == 302
    assert client.post(f"{groups}{role.pk}/delete/", {"post": "yes"}).status_code == 302
    member = User.objects.create_user("member", is_staff=True)
    password = {**PASSWORD, "usable_password": "true"}
    assert client.post(f"/admin/auth/user/{member.pk}/password/", password).status_code == 302
    source = a_source()
    assert (
        client.post(f"/admin/webhooks/source/{source.pk}/delete/", {**WHY, "post": "yes"}).status_code == 302
    )
    for action in (
        "group.created",
        "group.changed",
        "group.deleted",
        "person.password-changed",
        "source.deleted",
    ):
        assert len(entries(action)) == 1, action
    assert not LogEntry.objects.exists()


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    "label",
    ["webhooks_source", "sync_route", "sync_connection", "sync_mapping", "sync_delivery", "webhooks_event"],
)
def test_the_history_of_a_row_shows_its_audit_log_entries(label: str) -> None:
    route = a_route(a_source())
    event = an_event(source=route.source)
    found: dict[str, tuple[Any, str]] = {
        "webhooks_source": (route.source, f"setting:source:{route.source.pk}"),
        "sync_route": (route, f"setting:route:{route.pk}"),
        "sync_connection": (route.target, f"setting:connection:{route.target.pk}"),
        "sync_mapping": (route.mapping, f"setting:mapping:{route.mapping.pk}"),
        "sync_delivery": (delivery := a_delivery(event, route), delivery.stream),
        "webhooks_event": (event, event.stream),
    }
    row, stream = found[label]
    address = f"/admin/{label.replace('_', '/')}/{row.pk}/history/"
    to = urlsplit(browser("auditor").get(address)["Location"])
    assert (to.path, parse_qs(to.query)) == ("/admin/audit/entry/", {"q": [stream]})
    assert browser("support").get(address).status_code == 403


def test_a_missing_row_has_no_history() -> None:
    client = browser("administrator")
    for page in ("webhooks/source", "webhooks/event", "auth/group"):
        assert client.get(f"/admin/{page}/{'9' * 20}/history/").status_code == 404
