"""Forms list the fields of their JSON documents, as the reference describes them."""

import re
from typing import Any

import pytest
from django.test import Client

from config_schema.objects import Object, VariantObject
from connectors.registry import SETTINGS_KINDS
from connectors.settings.authentication import AUTHENTICATION
from connectors.settings.csrf import CsrfSettings
from console.reference.pages import PAGES
from console.settings import field_lists
from sync.planning.mapping import ParsedMapping
from tests.support.builders.history import a_route, a_source
from tests.support.builders.settings_rows import connection, mapping
from tests.support.pages import text_of
from tests.support.people import browser, source
from webhooks.protocol.formats.webhook_format import WebhookFormat
from webhooks.protocol.handshake import HANDSHAKE
from webhooks.protocol.schemes import SCHEMES
from webhooks.responses.response_format import RESPONSE_FORMAT

pytestmark = pytest.mark.django_db


def list_of(client: Client, address: str, field: str) -> str:
    """Return the HTML of the list below a text area."""
    page = client.get(address)
    assert page.status_code == 200
    html = text_of(page)
    assert " style=" not in html
    return html.split(f'name="{field}"', 1)[1].split("</textarea>", 1)[1].split("</details></div>", 1)[0]


def chosen_in(html: str) -> dict[str, str]:
    """Return the open variants of a list, by name."""
    found = re.findall(r'<details data-variant="([^"]+)"( open)?>(.*?)</details>', html, re.DOTALL)
    return {name: text for name, is_open, text in found if is_open}


def names_in(html: str) -> set[str]:
    """Return the names of the fields in a list."""
    return set(re.findall(r"<dt><code>([^<]+)</code>", html))


def names_of(kind: Any) -> set[str]:
    """Return the names of the settings at the top of a document."""
    if isinstance(kind, VariantObject):
        return {setting.name for name in kind.variants for setting in kind.settings_of(name)}
    assert isinstance(kind, Object)
    return {setting.name for setting in kind.settings}


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("address", "kinds"),
    [
        (
            "webhooks/source",
            {
                "handshake": [HANDSHAKE],
                "webhook_format": [WebhookFormat.kind],
                "response_format": [RESPONSE_FORMAT],
            },
        ),
        ("webhooks/source", {"scheme_settings": [scheme.schema for scheme in SCHEMES.values()]}),
        ("sync/connection", {"authentication": [AUTHENTICATION], "settings": list(SETTINGS_KINDS.values())}),
    ],
)
def test_an_add_form_lists_the_fields_of_all_variants(address: str, kinds: dict[str, list[Any]]) -> None:
    client = browser("administrator")
    for field, documents in kinds.items():
        listed = names_in(list_of(client, f"/admin/{address}/add/", field))
        assert {name for kind in documents for name in names_of(kind)} <= listed
    for field, variants in {"scheme_settings": SCHEMES, "settings": SETTINGS_KINDS}.items():
        if field in kinds:
            html = list_of(client, f"/admin/{address}/add/", field)
            assert re.findall(r"<summary><strong>([^<]+)</strong>", html) == list(variants)


@pytest.mark.submission
def test_the_variant_of_a_saved_row_is_open_and_the_others_can_be_opened() -> None:
    client = browser("administrator")
    of = source(
        "crm", scheme="body-hmac", scheme_settings={"header": "X-Sig"}, response_format={"format": "kratos"}
    )
    address = f"/admin/webhooks/source/{of.pk}/change/"
    html = list_of(client, address, "scheme_settings")
    assert re.findall(r'data-variant="([^"]+)"', html) == list(SCHEMES)
    chosen = chosen_in(html)
    assert list(chosen) == ["body-hmac"]
    assert names_in(chosen["body-hmac"]) == {setting.name for setting in SCHEMES["body-hmac"].schema.settings}
    assert '/admin/reference/verification/#settings-body-hmac"' in chosen["body-hmac"]
    assert list(chosen_in(list_of(client, address, "response_format"))) == ["kratos"]
    id_connection = connection(authentication={"scheme": "bearer"})
    address = f"/admin/sync/connection/{id_connection.pk}/change/"
    (bearer,) = chosen_in(list_of(client, address, "authentication")).values()
    # Those of `csrf` and `second` are nested in it.
    of_csrf = {setting.name for setting in CsrfSettings.kind.settings} | {"status", "when"}
    assert names_in(bearer) == names_of_variant("bearer") | of_csrf | {"header", "query"}
    chosen = chosen_in(list_of(client, address, "settings"))
    assert list(chosen) == ["rest-identity"]
    assert "entities" in names_in(chosen["rest-identity"])
    assert '/admin/reference/identity-connection/"' in chosen["rest-identity"]


def names_of_variant(scheme: str) -> set[str]:
    """Return the fields of a scheme besides `scheme` itself, which is listed above all of them."""
    return {setting.name for setting in AUTHENTICATION.variants[scheme].settings}


@pytest.mark.submission
def test_a_refused_form_lists_the_variant_that_was_just_chosen() -> None:
    of = source("crm", scheme="body-hmac", scheme_settings={"header": "X-Sig"})
    client = browser("administrator")
    address = f"/admin/webhooks/source/{of.pk}/change/"
    typed = {"scheme": "jwt", "scheme_settings": "{}", "response_format": '{"format": "okta-inline"}'}
    html = text_of(client.post(address, typed))
    for field, variant in (("scheme_settings", "jwt"), ("response_format", "okta-inline")):
        part = html.split(f'name="{field}"', 1)[1].split("</details></div>", 1)[0]
        assert list(chosen_in(part)) == [variant]


@pytest.mark.submission
def test_a_document_that_does_not_choose_has_the_default_variant() -> None:
    id_connection = connection(authentication={})
    html = list_of(
        browser("administrator"), f"/admin/sync/connection/{id_connection.pk}/change/", "authentication"
    )
    assert list(chosen_in(html)) == ["none"]


@pytest.mark.submission
def test_a_mapping_and_a_route_list_their_fields() -> None:
    client = browser("administrator")
    address = f"/admin/sync/mapping/{mapping().pk}/edit/"
    listed = names_in(list_of(client, address, "declaration"))
    assert {setting.name for setting in ParsedMapping.kind.settings} <= listed
    assert '"/admin/reference/functions/"' in client.get(address).content.decode()
    route = a_route(a_source())
    assert "active" in list_of(client, f"/admin/sync/route/{route.pk}/change/", "deactivation")


def test_each_field_list_links_to_the_reference() -> None:
    lists = [
        *field_lists.source_field_lists().values(),
        *field_lists.connection_field_lists().values(),
        *field_lists.route_field_lists().values(),
        field_lists.mapping_field_list(),
    ]
    for found in lists:
        places = {section.title or section.place for section in PAGES[found.page]().sections}
        assert not found.anchor or found.anchor in places
        for name, _sections, page in found.variant_lists():
            # Settings of a connector are a page of their own.
            assert page in found.pages.values() if found.pages else name in places
