"""Sources and routes: editable fields, recorded changes, permissions."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.admin import ModelAdmin
from django.core.exceptions import ValidationError
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectors.presets import load_preset
from sync.models import Route
from tests.console.settings.source_pages import source_form
from tests.support.builders.history import a_route, a_source
from tests.support.builders.settings_rows import TYPED, a_signed_source, connection, mapping
from tests.support.http.servers import Reply, serving
from tests.support.pages import typed_form
from tests.support.people import browser, entries, event, save, source
from webhooks.models import KeySet, Source, SourceSecret

pytestmark = [pytest.mark.django_db, pytest.mark.concurrent]
WHY = "a new system joins"


def test_a_new_signed_source_says_that_it_lacks_a_secret() -> None:
    client = browser("administrator")
    page = client.post("/admin/webhooks/source/add/", source_form(), follow=True)
    assert "has no active secret" in page.content.decode()
    source = Source.objects.get()
    (entry,) = entries("source.created")
    assert (entry["stream"], entry["details"]["reason"]) == (f"setting:source:{source.pk}", WHY)


def test_nothing_is_added_without_a_reason() -> None:
    client = browser("administrator")
    for reason in ("", "  ", "x" * 501):
        page = client.post("/admin/webhooks/source/add/", source_form(reason=reason))
        assert page.context["adminform"].form.errors.keys() == {"reason"}
    assert not Source.objects.exists()


@pytest.mark.submission
@pytest.mark.one_database
def test_a_source_that_would_fail_later_is_refused_at_its_field() -> None:
    client = browser("administrator")
    for field, value in (
        *(("scheme_settings", value) for value in ('{"nonsense": "x"}', "5", "[]", "{")),
        ("entity_fields", "{}"),
        ("webhook_format", '{"event_types": {"MODIFIED": "CHANGE"}}'),
        ("wait_seconds", "31"),
        ("wait_seconds", "-1"),
    ):
        answer = client.post("/admin/webhooks/source/add/", source_form(**{field: value}))
        assert answer.context["adminform"].form.errors.keys() == {field}
    assert not Source.objects.exists()


@pytest.mark.submission
@pytest.mark.parametrize(
    ("scheme", "fields", "is_refused"),
    [("none", '["*"]', True), ("bearer", "[]", True), ("bearer", '["*"]', False)],
)
def test_only_a_source_that_may_see_the_entity_can_be_answered_with_it(
    scheme: str, fields: str, is_refused: bool
) -> None:
    form = source_form(scheme=scheme, entity_fields=fields, default_mode="entity")
    page = browser("administrator").post("/admin/webhooks/source/add/", form, follow=True).content.decode()
    assert ("Only a signed source with entity fields" in page) == is_refused
    assert Source.objects.exists() != is_refused


@pytest.mark.parametrize("empty", ["", "{}"])
def test_empty_json_fields_mean_their_defaults(empty: str) -> None:
    fields = ("scheme_settings", "webhook_format", "handshake", "response_format")
    browser("administrator").post("/admin/webhooks/source/add/", source_form(**dict.fromkeys(fields, empty)))
    assert [getattr(Source.objects.get(), field) for field in fields] == [{}] * 4


@pytest.mark.promise("T17")
def test_a_change_is_recorded_with_values_and_ip_address() -> None:
    of, client = source("aurora", name="Old", wait_seconds=2.5), browser("administrator")
    form = source_form(scheme="none", name="New", wait_seconds="2.5")
    save(client, f"/admin/webhooks/source/{of.pk}/change/", form, "it has a new name")
    (entry,) = entries("source.changed")
    assert entry["details"] == {
        "before": {"name": "Old"},
        "after": {"name": "New"},
        "reason": "it has a new name",
        "address": "127.0.0.1",
    }
    save(client, f"/admin/webhooks/source/{of.pk}/change/", form)
    assert len(entries("source.changed")) == 1


def test_a_deletion_is_recorded_with_the_deleted_values_and_the_reason() -> None:
    of, client = source(), browser("administrator")
    client.post(f"/admin/webhooks/source/{of.pk}/delete/", {"post": "yes", "reason": "it is\n gone"})
    assert not Source.objects.exists()
    (entry,) = entries("source.deleted")
    assert entry["details"]["before"]["slug"] == "crm"
    assert entry["details"]["reason"] == "it is gone"


def test_nothing_is_deleted_without_a_reason() -> None:
    of, client = source(), browser("administrator")
    for given in ({}, {"reason": ""}, {"reason": "   "}, {"reason": "x" * 501}):
        page = client.post(f"/admin/webhooks/source/{of.pk}/delete/", {"post": "yes"} | given)
        assert page.context["reason_form"].errors
    assert Source.objects.exists()
    assert not entries("source.deleted")


@pytest.mark.submission
def test_the_effect_of_a_change_of_a_source_is_shown_before_it_is_made() -> None:
    of, client = source("aurora", name="Aurora", scheme="standard-webhooks"), browser("administrator")
    shown = {}
    for changed in (
        {"is_enabled": ""},
        {"slug": "moved"},
        {"scheme": "none"},
        {"scheme": "bearer"},
        {"name": "Other"},
    ):
        form = source_form(**changed)
        if not form["is_enabled"]:
            del form["is_enabled"]
        page = client.post(f"/admin/webhooks/source/{of.pk}/change/", form, follow=True)
        shown[str(changed)] = tuple(page.context["warnings"])
    assert [len(warnings) for warnings in shown.values()] == [1, 1, 1, 1, 0]
    assert len(set(shown.values())) == 5


def test_objects_that_prevent_a_deletion_are_named_without_reading_all() -> None:
    of, client = source(), browser("administrator")
    address = f"/admin/webhooks/source/{of.pk}/delete/"
    event(of)
    with CaptureQueriesContext(database) as seen:
        page = client.get(address).content.decode()
    assert not [query["sql"] for query in seen if query["sql"].startswith('SELECT "webhooks_event"')]
    assert "<li>Events</li>" in page
    assert "Delete Crm</button>" not in page
    client.post(address, {"post": "yes", "reason": "it must go"})
    assert Source.objects.exists()
    assert not entries("source.deleted")


@pytest.mark.parametrize(
    ("field", "beyond"),
    [("gives_up_after_hours", 10**8), ("guard_minutes", 10**9), ("retry_cap_seconds", 10**9)],
)
def test_a_route_refuses_impossible_durations(field: str, beyond: int) -> None:
    route = a_route(a_source())
    setattr(route, field, beyond)
    with pytest.raises(ValidationError) as refused:
        route.full_clean()
    assert field in refused.value.message_dict


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"compare_every_hours": 24, "relays": True}, "compare_every_hours"),
        ({"repairs_differences": True}, "repairs_differences"),
        ({"compare_every_hours": 24, "repairs_missing_records": True}, "repairs_missing_records"),
        ({"compare_every_hours": 0}, "compare_every_hours"),
        ({"max_repairs": 101}, "max_repairs"),
        ({"max_repairs": 0}, "max_repairs"),
    ],
)
def test_a_route_refuses_a_schedule_that_could_not_run(values: dict[str, Any], field: str) -> None:
    """The only test of the rules between the settings of scheduled comparisons."""
    route = a_route(a_signed_source(), deactivation={"active": False})
    route.full_clean()
    for name, value in values.items():
        setattr(route, name, value)
    with pytest.raises(ValidationError) as refused:
        route.full_clean()
    assert list(refused.value.message_dict) == [field]


def test_a_schedule_is_set_with_a_reason_and_recorded() -> None:
    """Holds that the form shows the schedule, asks for a reason, and records it as any change of a route."""
    route, client = a_route(a_signed_source()), browser("administrator")
    address = f"/admin/sync/route/{route.pk}/change/"
    form = typed_form(client, address) | {"compare_every_hours": "12", "max_repairs": "7"}
    form |= {"repairs_differences": "on", "deactivation": '{"active": false}'}
    save(client, address, form)
    (entry,) = entries("route.changed")
    changed = {"compare_every_hours": 12, "repairs_differences": True, "max_repairs": 7}
    assert (entry["details"]["after"].items() >= changed.items(), entry["stream"]) == (
        True,
        f"setting:route:{route.pk}",
    )
    route.refresh_from_db()
    assert route.schedule_set_by is not None, "a repair names who set the schedule"
    assert entry["actor"] == f"person:{route.schedule_set_by.pk}"
    refused = client.post(address, form | {"compare_every_hours": ""})
    assert "“Compare every” is set" in refused.text


@pytest.mark.submission
def test_a_pause_during_the_storing_of_a_change_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    route, client, read = a_route(a_source()), browser("administrator"), ModelAdmin.get_object

    def paused_meanwhile(*args: Any) -> Any:
        found = read(*args)
        if database.in_atomic_block and isinstance(found, Route):
            Route.objects.filter(pk=route.pk).update(paused_at=timezone.now(), pause_reason="it moves")
        return found

    address = f"/admin/sync/route/{route.pk}/change/"
    form = {
        name: value
        for name, value in client.get(address).context["adminform"].form.initial.items()
        if value is not None
    }
    form |= {"deactivation": '{"active": false}', "max_attempts": "5", "is_enabled": "on"}
    page = client.post(address, form)["Location"]
    seen = client.get(page).context["seen"]
    monkeypatch.setattr(ModelAdmin, "get_object", paused_meanwhile)
    client.post(page, {"reason": WHY, "seen": seen})
    route.refresh_from_db()
    assert (route.max_attempts, route.pause_reason, route.paused_at is None) == (5, "it moves", False)


@pytest.mark.submission
def test_settings_cannot_be_deleted_in_bulk() -> None:
    of, client = source(), browser("administrator")
    mapping()
    chosen = {"action": "delete_selected", "_selected_action": [of.pk], "post": "yes"}
    for kind in ("webhooks/source", "sync/connection", "sync/route", "sync/mapping"):
        client.post(f"/admin/{kind}/", chosen)
        assert "delete_selected" not in client.get(f"/admin/{kind}/").content.decode()
    assert Source.objects.exists()


@pytest.mark.submission
def test_a_route_is_added_changed_and_deleted_on_the_record() -> None:
    client, shop = browser("administrator"), load_preset("sandbox-shop")
    kind = {name: shop[name] for name in ("connector", "settings")}
    target = connection(slug="shop", side="target", **kind)
    form = {
        "source": a_signed_source().pk,
        "entity_type": "user",
        "is_enabled": "on",
        "identity": connection().pk,
        "target": target.pk,
        "mapping": mapping().pk,
        "matching": "hold",
        "without_match": "create",
        "when_deleted": "delete",
        "deactivation": "",
        "on_leaving": "leave",
        "continues_after_failure": "unknown",
        "max_attempts": "8",
        "gives_up_after_hours": "72",
        "retry_base_seconds": "2",
        "retry_cap_seconds": "3600",
        "guard_minutes": "60",
        "max_removals": "50",
        "max_repairs": "20",
        "reason": WHY,
    }
    page = client.get("/admin/sync/route/add/")
    assert '<option value="unknown" selected>Default</option>' in page.text
    # *Set the fields below* is selected, so there are some.
    assert page.context["adminform"].form.initial["deactivation"] == {"active": False}
    answer = client.post("/admin/sync/route/add/", form)
    assert answer.status_code == 302, answer.context["errors"]
    route = Route.objects.get()
    assert (route.entity_type, route.deactivation) == ("USER", {})
    assert route.observes, "it goes live on its own page"
    trusting = form | {"max_attempts": "3", "matching": "trusted"}
    shown = client.post(f"/admin/sync/route/{route.pk}/change/", trusting, follow=True)
    assert len(shown.context["warnings"]) == 1
    save(client, f"/admin/sync/route/{route.pk}/change/", trusting)
    assert entries("route.changed")[0]["details"]["after"] == {"max_attempts": 3, "matching": "trusted"}
    client.post(f"/admin/sync/route/{route.pk}/delete/", {"post": "yes", "reason": "it was wrong"})
    assert entries("route.created")[0]["details"]["reason"] == WHY
    assert entries("route.deleted")[0]["stream"] == f"setting:route:{route.pk}"


@pytest.mark.promise("T23")
@pytest.mark.parametrize("role", ["support", "administrator"])
def test_readers_open_every_settings_page_and_see_no_secret(role: str) -> None:
    secret, client = (
        SourceSecret.objects.create(source=a_signed_source(), value=TYPED, hint="GKYq"),
        browser(role),
    )
    pages = {
        f"/admin/webhooks/source/{secret.source_id}/change/": TYPED[:12],
        f"/admin/sync/connection/{connection().pk}/change/": "hub-password",
        f"/admin/sync/mapping/{mapping().pk}/change/": TYPED[:12],
        "/admin/sync/connection/": "hub-password",
        "/admin/sync/mapping/": TYPED[:12],
        "/admin/sync/route/": TYPED[:12],
    }
    for address, hidden in pages.items():
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert hidden not in answer.content.decode()
        assert "style-src 'self'" in answer["Content-Security-Policy"]
        assert " style=" not in answer.content.decode()


@pytest.mark.submission
def test_saving_a_source_fetches_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each test is one transaction, which never commits.
    monkeypatch.setattr("django.db.transaction.on_commit", lambda run: run())
    key = jwt.get_algorithm_by_name("RS256").to_jwk(
        rsa.generate_private_key(65_537, 2_048).public_key(), as_dict=True
    )
    reply = Reply(value={"keys": [key]})
    with serving(lambda _: reply) as service:
        settings = {"algorithm": "RS256", "header": "X-Token", "jwks_url": f"{service.url}/certs"}
        form = source_form(scheme="jwt", scheme_settings=json.dumps(settings))
        client = browser("administrator")
        answer = client.post("/admin/webhooks/source/add/", form)
        assert answer.status_code == 302
        page = client.get("/admin/webhooks/source/").content.decode()
        assert "has no active secret" not in page
        assert "could not be fetched" not in page
        assert KeySet.objects.get().keys
        reply.status = 500
        settings["jwks_url"] += "/other"
        form |= {"scheme_settings": json.dumps(settings)}
        address = f"/admin/webhooks/source/{Source.objects.get().pk}/change/"
        page = save(client, address, form).content.decode()
        assert "could not be fetched" in page
        assert "No active secret" not in page
        assert "Add a secret" not in page
