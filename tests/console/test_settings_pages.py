"""Sources, connections, routes, mappings: what can be changed, what is never shown, what is recorded."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.test.utils import override_settings
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from sync.connectors.presets import preset
from sync.models import Connection, Mapping, MappingVersion, Route
from tests.console.staff import browser, entries, source
from webhooks.models import Payload, Source, SourceSecret
from webhooks.sealing import unseal

pytestmark = pytest.mark.django_db

TYPED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"
DECLARATION = {"fields": {"email": {"path": "entity.email", "apply": ["lower"], "required": True}}}


def signed() -> Source:
    return source("signed", scheme="standard-webhooks")


def source_form(**changed: Any) -> dict[str, Any]:
    return {
        "name": "Aurora",
        "slug": "aurora",
        "is_enabled": "on",
        "scheme": "standard-webhooks",
        "scheme_settings": "{}",
        "event_words": "{}",
        "default_mode": "result",
        "wait_seconds": "10",
        "entity_fields": "[]",
    } | changed


def rotated(client: Client, of: Source, **form: Any) -> str:
    """The page after rotating."""
    address = reverse("admin:webhooks_source_rotate", args=[of.pk])
    newest = client.get(address).context["form"].initial["newest"]
    return client.post(address, {"typed": "", "hours": "24", "newest": newest} | form).content.decode()


def test_a_new_signed_source_says_that_it_lacks_a_secret() -> None:
    page = (
        browser("administrator")
        .post("/admin/webhooks/source/add/", source_form(), follow=True)
        .content.decode()
    )
    assert "has no live secret yet" in page
    made = Source.objects.get()
    assert entries("source.created")[0]["stream"] == f"setting:source:{made.pk}"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("scheme_settings", '{"nonsense": "x"}', "has no setting"),
        ("scheme_settings", "5", "An object is expected."),
        ("scheme_settings", "[]", "An object is expected."),
        ("scheme_settings", "{", "Enter a valid JSON"),
        ("entity_fields", "{}", "A list is expected."),
        ("event_words", '{"MODIFIED": "CHANGE"}', "CREATE, UPDATE or DELETE"),
        ("wait_seconds", "31", "source_wait_within_bounds"),
    ],
)
def test_a_source_that_would_fail_later_is_refused_at_its_field(
    field: str, value: str, sentence: str
) -> None:
    answer = browser("administrator").post("/admin/webhooks/source/add/", source_form(**{field: value}))
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not Source.objects.exists()


def test_empty_json_fields_mean_their_defaults() -> None:
    empty = {"scheme_settings": "", "event_words": "", "entity_fields": ""}
    browser("administrator").post("/admin/webhooks/source/add/", source_form(**empty))
    made = Source.objects.get()
    assert (made.scheme_settings, made.event_words, made.entity_fields) == ({}, {}, [])


def test_an_unverified_source_is_marked_in_the_list_and_on_its_page() -> None:
    of, client = source(), browser("support")
    assert "unverified" in client.get("/admin/webhooks/source/").content.decode()
    page = client.get(f"/admin/webhooks/source/{of.pk}/change/").content.decode()
    assert "only a hint" in page
    assert "http://testserver/webhooks/crm" in page


def test_a_change_is_recorded_with_before_and_after_and_where_it_came_from() -> None:
    of, client = source("aurora", name="Old", wait_seconds=2.5), browser("administrator")
    form = source_form(scheme="none", name="New", wait_seconds="2.5")
    assert client.post(f"/admin/webhooks/source/{of.pk}/change/", form).status_code == 302
    (entry,) = entries("source.changed")
    assert entry["details"] == {"before": {"name": "Old"}, "after": {"name": "New"}, "address": "127.0.0.1"}
    client.post(f"/admin/webhooks/source/{of.pk}/change/", form)
    assert len(entries("source.changed")) == 1


@pytest.mark.parametrize("way", ["page", "action"])
def test_a_deletion_is_recorded_with_what_was_there(way: str) -> None:
    of, client = source(), browser("administrator")
    if way == "page":
        client.post(f"/admin/webhooks/source/{of.pk}/delete/", {"post": "yes"})
    else:
        chosen = {"action": "delete_selected", "_selected_action": [of.pk], "post": "yes"}
        client.post("/admin/webhooks/source/", chosen)
    assert not Source.objects.exists()
    (entry,) = entries("source.deleted")
    assert entry["details"]["before"]["slug"] == "crm"


def test_a_secret_that_the_hub_made_is_shown_once_and_never_again() -> None:
    of, client = signed(), browser("administrator")
    shown = re.search(r'id="new-secret">(whsec_[^<]+)<', rotated(client, of))
    assert shown
    secret = SourceSecret.objects.get()
    assert secret.value == shown[1]
    for address in (f"/admin/webhooks/source/{of.pk}/change/", f"/admin/webhooks/source/{of.pk}/rotate/"):
        page = client.get(address).content.decode()
        assert shown[1] not in page
    assert f"…{shown[1][-4:]}" in client.get(f"/admin/webhooks/source/{of.pk}/change/").content.decode()
    assert not Entry.objects.filter(body__contains=shown[1][-12:]).exists()
    assert entries("secret.added")[0]["details"]["secret"] == secret.pk


def test_a_typed_secret_is_stored_and_not_shown() -> None:
    of = signed()
    assert TYPED not in rotated(browser("administrator"), of, typed=TYPED)
    assert SourceSecret.objects.get().value == TYPED


def test_a_weak_secret_is_refused_without_repeating_it() -> None:
    page = rotated(browser("administrator"), signed(), typed="c2hvcnQtc2VjcmV0")
    assert "at least 24 bytes" in page
    assert "c2hvcnQtc2VjcmV0" not in page
    assert not SourceSecret.objects.exists()


@pytest.mark.parametrize("hours", [0, 24, 72])
def test_the_old_secret_ends_when_it_was_told_to(hours: int) -> None:
    of = signed()
    old = SourceSecret.objects.create(source=of, value=TYPED, hint="GKYq")
    rotated(browser("administrator"), of, hours=hours)
    old.refresh_from_db()
    assert old.ends_at is not None
    assert abs(old.ends_at - timezone.now() - timedelta(hours=hours)) < timedelta(seconds=30)
    assert SourceSecret.objects.get(ends_at=None).value != TYPED


def test_a_fourth_live_secret_is_refused_and_nothing_is_changed() -> None:
    of, client = signed(), browser("administrator")
    for _ in range(3):
        rotated(client, of, hours=72)
    before = list(SourceSecret.objects.values_list("pk", "ends_at"))
    assert "At most 3 secrets" in rotated(client, of, hours=72)
    assert list(SourceSecret.objects.values_list("pk", "ends_at")) == before
    assert len(entries("secret.added")) == 3


def test_the_same_rotation_sent_twice_makes_one_secret() -> None:
    of, client = signed(), browser("administrator")
    rotated(client, of, newest=0)
    assert "Nothing was changed" in rotated(client, of, newest=0)
    assert SourceSecret.objects.count() == 1


def test_a_secret_can_be_ended_at_once_after_a_question() -> None:
    of, client = signed(), browser("administrator")
    secret = SourceSecret.objects.create(source=of, value=TYPED, hint="GKYq")
    address = reverse("admin:webhooks_source_end_secret", args=[of.pk, secret.pk])
    assert client.get(address).status_code == 200
    assert SourceSecret.objects.get().is_live(timezone.now())
    client.post(address)
    client.post(address)
    assert not SourceSecret.objects.get().is_live(timezone.now())
    assert len(entries("secret.ended")) == 1


@pytest.mark.parametrize("role", ["support", "auditor"])
def test_others_cannot_touch_secrets(role: str) -> None:
    of, client = signed(), browser(role)
    secret = SourceSecret.objects.create(source=of, value=TYPED, hint="GKYq")
    for name, keys in (("rotate", [of.pk]), ("end_secret", [of.pk, secret.pk])):
        assert client.post(reverse(f"admin:webhooks_source_{name}", args=keys)).status_code == 403


def connection(**changed: Any) -> Connection:
    chosen = preset("trivore")
    return Connection.objects.create(
        **{
            "slug": "id",
            "name": "Aurora ID",
            "side": "identity",
            "connector": chosen["connector"],
            "base_url": "https://id.example.com/",
            "authentication": chosen["authentication"],
            "settings": chosen["settings"],
            "credentials": {"username": "hub-user", "password": "hub-password"},
        }
        | changed
    )


def connection_form(of: Connection, **changed: Any) -> dict[str, Any]:
    return {
        "slug": of.slug,
        "name": of.name,
        "side": of.side,
        "connector": of.connector,
        "is_enabled": "on",
        "base_url": of.base_url,
        "authentication": json.dumps(of.authentication),
        "settings": json.dumps(of.settings),
        "deadline_seconds": "10",
        "byte_cap": "1048576",
    } | changed


TYPED_ANEW = {"username": "u2", "password": "p2"}
STORED = {"username": "hub-user", "password": "hub-password"}
TOKEN_ELSEWHERE = '{"scheme": "oauth2-client-credentials", "token_url": "https://evil.example.net/token"}'


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({}, STORED),
        ({"name": "Other"}, STORED),
        ({"base_url": "https://id.example.com/v2"}, STORED),
        ({"password": "new-password"}, STORED | {"password": "new-password"}),
        ({"clear_credentials": "on"}, None),
        ({"base_url": "https://evil.example.net/"}, None),
        ({"base_url": "http://id.example.com/"}, None),
        ({"base_url": "https://id.example.com:8443/"}, None),
        (
            {"base_url": "https://evil.example.net/", "username": "u2", "password": "p2"},
            {"username": "u2", "password": "p2"},
        ),
        ({"authentication": '{"scheme": "bearer"}'}, None),
    ],
)
def test_credentials_stay_until_they_are_replaced_or_the_origin_changes(
    changed: dict[str, str], kept: dict[str, str] | None
) -> None:
    of = connection()
    client = browser("administrator")
    answer = client.post(f"/admin/sync/connection/{of.pk}/change/", connection_form(of, **changed))
    assert answer.status_code == 302, answer.context["errors"]
    of.refresh_from_db()
    assert of.credentials == kept
    assert not Entry.objects.filter(body__contains='password":').exists()
    if kept != STORED:
        assert entries("connection.changed")[0]["details"]["changed"] == ["credentials"]


def test_another_token_address_lets_go_of_the_credentials_too() -> None:
    of = connection(
        authentication={"scheme": "oauth2-client-credentials"},
        credentials={"client_id": "hub", "client_secret": "s3cret-s3cret"},
    )
    form = connection_form(of, authentication=TOKEN_ELSEWHERE)
    page = browser("administrator").post(f"/admin/sync/connection/{of.pk}/change/", form, follow=True)
    of.refresh_from_db()
    assert of.credentials is None
    assert "the stored credentials were removed" in page.content.decode()


def test_stored_credentials_are_never_rendered() -> None:
    of = connection()
    page = browser("administrator").get(f"/admin/sync/connection/{of.pk}/change/").content.decode()
    assert "hub-user" not in page
    assert "hub-password" not in page
    assert "leave empty to keep it" in page


def test_a_credential_that_the_authentication_does_not_use_is_refused() -> None:
    of = connection()
    form = connection_form(of, token="a-token")
    page = browser("administrator").post(f"/admin/sync/connection/{of.pk}/change/", form).content.decode()
    assert "does not use this" in page
    assert "a-token" not in page


def test_a_preset_fills_the_form_and_can_be_saved() -> None:
    client = browser("administrator")
    page = client.get("/admin/sync/connection/add/?preset=sandbox-shop")
    assert "?preset=trivore" in page.content.decode()
    initial = page.context["adminform"].form.initial
    assert initial["settings"] == preset("sandbox-shop")["settings"]
    made = Connection(**{name: initial[name] for name in ("side", "connector", "authentication", "settings")})
    made.slug, made.name, made.base_url = "shop", "The shop", "http://127.0.0.1:8102"
    form = connection_form(made, token="shop-token")
    answer = client.post("/admin/sync/connection/add/", form)
    assert answer.status_code == 302, answer.context["errors"]
    assert Connection.objects.get().credentials == {"token": "shop-token"}


def test_wrong_settings_are_refused_with_their_place() -> None:
    of = connection()
    form = connection_form(of, settings='{"entities": 5}')
    page = browser("administrator").post(f"/admin/sync/connection/{of.pk}/change/", form).content.decode()
    assert "/settings/entities" in page


def mapping() -> Mapping:
    made = Mapping.objects.create(name="Person")
    MappingVersion.objects.create(mapping=made, number=1, declaration=DECLARATION)
    return made


def test_a_changed_declaration_is_a_new_version_and_the_old_one_stays() -> None:
    of, client = mapping(), browser("administrator")
    other = {"fields": {"mail": {"path": "entity.email"}}}
    address = f"/admin/sync/mapping/{of.pk}/change/"
    form = {"name": "Person", "declaration": json.dumps(other), "based_on": 1}
    assert client.post(address, form).status_code == 302
    assert list(of.versions.values_list("number", "declaration")) == [(2, other), (1, DECLARATION)]
    (entry,) = entries("mapping.changed")
    assert (entry["details"]["before"]["version"], entry["details"]["after"]["version"]) == (1, 2)
    assert entry["details"]["after"]["declaration"] == other
    assert "was saved since" in client.post(address, form).content.decode()
    client.post(address, form | {"based_on": 2, "name": "Renamed"})
    assert of.versions.count() == 2


def test_an_invalid_declaration_is_refused_with_its_field() -> None:
    of = mapping()
    form = {"name": "Person", "declaration": '{"fields": {"mail": {"path": "a[["}}}', "based_on": 1}
    page = browser("administrator").post(f"/admin/sync/mapping/{of.pk}/change/", form).content.decode()
    assert "is not a JMESPath expression" in page
    assert of.versions.count() == 1


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"entity": '{"email": "ANNA@EXAMPLE.COM"}'}, "anna@example.com"),
        ({"entity": "{}"}, "email: it is required"),
        ({"entity": "{"}, "The entity is not JSON"),
        ({"entity": "[" * 100_000}, "The entity"),
        ({"webhook": "[]"}, "The webhook: an object is expected"),
        ({"declaration": '{"fields": {"x": {"constant": "unsaved"}}}'}, "unsaved"),
        ({"declaration": '{"fields": {}}'}, "between 1 and 200 fields"),
    ],
)
def test_a_declaration_is_tried_out_on_a_sample_and_nothing_is_saved(
    given: dict[str, str], shown: str
) -> None:
    of = mapping()
    page = browser("administrator").post(reverse("admin:sync_mapping_try", args=[of.pk]), given)
    trial = page.context["trial"]
    assert shown in trial.record + trial.problem
    assert of.versions.get().declaration == DECLARATION
    assert not entries("mapping.changed")


def test_a_route_is_added_changed_and_deleted_on_the_record() -> None:
    client, shop = browser("administrator"), preset("sandbox-shop")
    kind = {name: shop[name] for name in ("connector", "settings")}
    commercial = connection(slug="shop", side="commercial", **kind)
    form = {
        "source": signed().pk,
        "entity_type": "user",
        "is_enabled": "on",
        "identity": connection().pk,
        "commercial": commercial.pk,
        "mapping": mapping().pk,
        "without_match": "create",
        "when_gone": "delete",
        "deactivation": "",
        "continues_after_failure": "unknown",
        "tries": "8",
    }
    answer = client.post("/admin/sync/route/add/", form)
    assert answer.status_code == 302, answer.context["errors"]
    made = Route.objects.get()
    assert (made.entity_type, made.deactivation) == ("USER", {})
    client.post(f"/admin/sync/route/{made.pk}/change/", form | {"tries": "3"})
    assert entries("route.changed")[0]["details"]["after"] == {"tries": 3}
    client.post(f"/admin/sync/route/{made.pk}/delete/", {"post": "yes"})
    assert entries("route.deleted")[0]["stream"] == f"setting:route:{made.pk}"


@pytest.mark.parametrize("role", ["support", "auditor", "administrator"])
def test_readers_open_every_settings_page_and_see_no_secret(role: str) -> None:
    secret, client = SourceSecret.objects.create(source=signed(), value=TYPED, hint="GKYq"), browser(role)
    pages = {
        f"/admin/webhooks/source/{secret.source_id}/change/": "whsec_",
        f"/admin/sync/connection/{connection().pk}/change/": "hub-password",
        f"/admin/sync/mapping/{mapping().pk}/change/": "whsec_",
        "/admin/sync/connection/": "hub-password",
        "/admin/sync/mapping/": "whsec_",
        "/admin/sync/route/": "whsec_",
    }
    for address, hidden in pages.items():
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert hidden not in answer.content.decode()
        assert "style-src 'self'" in answer["Content-Security-Policy"]
        assert " style=" not in answer.content.decode()


def test_a_reader_sees_the_declaration_in_force_and_cannot_change_it() -> None:
    of, client = mapping(), browser("support")
    address = f"/admin/sync/mapping/{of.pk}/change/"
    assert "entity.email" in client.get(address).content.decode()
    form = {"name": "Person", "declaration": '{"fields": {"x": {"constant": 1}}}', "based_on": 1}
    assert client.post(address, form).status_code == 403
    assert of.versions.count() == 1


def test_resealing_puts_everything_under_the_first_key_and_says_how_many() -> None:
    secret = SourceSecret.objects.create(source=signed(), value=TYPED, hint="GKYq")
    of = connection()
    payload = Payload.of(Payload.Kind.WEBHOOK, b"personal")
    payload.save()
    fresh = Fernet.generate_key().decode()
    with override_settings(SEALING_KEYS=[fresh, *settings.SEALING_KEYS]):
        call_command("reseal")
    with override_settings(SEALING_KEYS=[fresh]):
        assert SourceSecret.objects.get(pk=secret.pk).value == TYPED
        assert Connection.objects.get(pk=of.pk).credentials == STORED
        assert unseal(bytes(Payload.objects.get(pk=payload.pk).sealed)) == b"personal"
    (entry,) = entries("sealing.renewed")
    assert entry["details"] == {"payloads": 1, "secrets": 1, "credentials": 1}
