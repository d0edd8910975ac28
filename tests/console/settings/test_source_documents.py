"""The documents of sources and routes are edited with controls, as those of a connection are."""

import json
import re
from typing import Any

import pytest

from sync.models import Route
from tests.console.settings.source_pages import page_of, source_form
from tests.support.builders.history import a_route, a_source
from tests.support.builders.settings_rows import mapping
from tests.support.pages import text_of
from tests.support.people import browser, save, source
from tests.support.shown_fields import read_fields
from webhooks.models import Source
from webhooks.presets.source_presets import SOURCE_PRESETS

pytestmark = pytest.mark.django_db

MOST_BYTES = 40_000


def with_controls(name: str, document: Any, **entered: Any) -> dict[str, Any]:
    """Return what a page sends for a document that is shown by its controls. `entered`: by part and pointer."""
    return {name: json.dumps(document), f"{name}:mode": "form"} | {
        f"{name}:{part}:{pointer}": value
        for part, values in entered.items()
        for pointer, value in values.items()
    }


def test_the_options_of_another_verification_are_shown_and_those_of_the_former_left_out() -> None:
    of, client = (
        source("aurora", scheme="body-hmac", scheme_settings={"header": "X-Sig", "prefix": "v1="}),
        browser("administrator"),
    )
    chosen = source_form(scheme="header") | with_controls("scheme_settings", of.scheme_settings)
    page = client.post(page_of(of), chosen | {"scheme_settings:do": "again"})
    assert page.status_code == 200
    assert not page.context["adminform"].form.errors, "nothing is checked yet"
    html = text_of(page)
    assert 'name="scheme_settings:v:/header"' in html
    assert 'name="scheme_settings:v:/prefix"' not in html
    save(client, page_of(of), chosen | {"scheme_settings:v:/header": "X-Api-Key"})
    of.refresh_from_db()
    assert (of.scheme, of.scheme_settings) == ("header", {"header": "X-Api-Key"})


def test_an_error_is_beside_its_control_and_on_no_other_page() -> None:
    of, client = source("aurora"), browser("administrator")
    form = source_form() | with_controls("webhook_format", {"max_events": 3}, v={"/max_events": "501"})
    html = text_of(client.post(page_of(of), form))
    control = html.split('name="webhook_format:v:/max_events"', 1)[1].split("</div>", 1)[0]
    sentence = "This must be a whole number from 1 to 500."
    assert sentence in control
    assert 'value="501"' in control
    assert sentence not in text_of(client.get(page_of(of)))


def test_a_handshake_that_is_no_longer_chosen_is_removed() -> None:
    stored = {"from": "header", "name": "x-challenge"}
    of, client = source("aurora", handshake=stored), browser("administrator")
    form = source_form() | with_controls("handshake", stored, v={"/from": "", "/name": "x-challenge"})
    save(client, page_of(of), form)
    of.refresh_from_db()
    assert of.handshake == {}


@pytest.mark.submission
def test_the_page_of_every_preset_has_no_json_box_and_at_most_40_kb() -> None:
    client = browser("administrator")
    for name, preset in SOURCE_PRESETS.items():
        of = source(name, **preset.copy_settings())
        for address in (f"/admin/webhooks/source/add/?preset={name}", page_of(of)):
            page = client.get(address)
            assert len(page.content) < MOST_BYTES, (address, len(page.content))
            shown = re.findall(r"<textarea(?![^>]* hidden)[^>]* name=\"(\w+)\"", page.content.decode())
            assert set(shown) <= {"reason"}, address
            assert "jquery" not in page.content.decode()


def test_a_source_saved_unchanged_keeps_each_document_byte_for_byte() -> None:
    of = Source.objects.create(slug="crm", name="CRM", **SOURCE_PRESETS["okta-event-hooks"].copy_settings())
    # PostgreSQL has stored the fields in an order of its own.
    of.refresh_from_db()
    names = ("scheme_settings", "handshake", "webhook_format", "response_format")
    before = json.dumps([getattr(of, name) for name in names])
    client = browser("administrator")
    typed = read_fields(client.get(page_of(of)))
    save(client, page_of(of), typed | {"name": "Renamed"})
    of.refresh_from_db()
    assert of.name == "Renamed"
    assert json.dumps([getattr(of, name) for name in names]) == before


def test_the_fields_that_deactivate_a_record_are_rows_and_texts_need_no_quotes() -> None:
    route, client = a_route(a_source(), mapping=mapping(), is_enabled=False), browser("administrator")
    address = f"/admin/sync/route/{route.pk}/change/"
    page = client.get(address)
    assert len(page.content) < MOST_BYTES
    names = ("deactivation:n:", "deactivation:r:")
    typed = read_fields(page) | dict(
        zip(names, (["active", "state", ""], ["false", "gone", ""]), strict=True)
    )
    save(client, address, typed)
    route = Route.objects.get()
    assert route.deactivation == {"active": False, "state": "gone"}
    assert route.reactivation is None, "nothing was entered"


def test_the_fields_in_responses_are_lines_and_none_is_an_empty_list() -> None:
    of, client = source("aurora", entity_fields=["id"]), browser("administrator")
    for lines, stored in (("id\r\nemails\r\n", ["id", "emails"]), ("", [])):
        save(client, page_of(of), read_fields(client.get(page_of(of))) | {"entity_fields:v:": lines})
        of.refresh_from_db()
        assert of.entity_fields == stored
