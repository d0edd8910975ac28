"""Documents of the forms: an error is beside its control, or names the line of the JSON and the path of the setting."""

import re
from html import unescape
from typing import Any

import pytest

from tests.console.settings.source_pages import as_json, source_form
from tests.support.builders.settings_rows import connection, connection_form
from tests.support.people import browser, source
from webhooks.models import Source

pytestmark = pytest.mark.django_db

FAULTY_SETTINGS = """{
  "entities": {
    "USER": {
      "path": "users/{id}"
    }
  }
}"""


def refuse(address: str, form: dict[str, Any], client: Any = None) -> Any:
    """Post a form that must be refused. Returns its page."""
    page = (client or browser("administrator")).post(address, form)
    assert page.status_code == 200
    return page


def errors_of(page: Any) -> dict[str, list[str]]:
    """Return the errors of the form on a page, by field."""
    return {name: list(errors) for name, errors in page.context["adminform"].form.errors.items()}


def shown_text(page: Any, field: str) -> str:
    """Return what the text area of a field holds."""
    html = page.content.decode()
    return unescape(html.split(f'name="{field}"', 1)[1].split(">", 1)[1].split("</textarea>", 1)[0])


@pytest.mark.submission
@pytest.mark.one_database
def test_an_invalid_setting_of_a_source_is_named_by_line_and_path(settings: Any) -> None:
    settings.PUBLIC_URL = ""
    of, client = source("aurora"), browser("administrator")
    hmac = {"scheme": "hmac", "scheme_settings": '{"header": "X",\n"signed": ["{url}", "{body}"]}'}
    for changed, field, place in (
        ({"webhook_format": '{\n\n\n  "id": "body["\n}'}, "webhook_format", "Line 4, id: "),
        ({"handshake": '{\n  "from": "nowhere"\n}'}, "handshake", "Line 2, from: "),
        ({"handshake": '{\n  "from": "query"\n}'}, "handshake", "Line 1, name: "),
        ({"response_format": '{\n"format": "kratos",\n"colour": 1}'}, "response_format", "Line 3, colour: "),
        ({"webhook_format": '{\n"id": "a",\n"id": "b"\n}'}, "webhook_format", "Line 3: “id” appears twice"),
        ({"entity_fields": '[\n"a",\n]'}, "entity_fields", "Line "),
        (hmac, "scheme_settings", "Line 2, signed: {url} needs the address of the hub"),
    ):
        form = source_form(**changed | as_json(**{field: changed[field]}))
        page = refuse(f"/admin/webhooks/source/{of.pk}/change/", form, client)
        errors = errors_of(page)
        assert errors.keys() == {field}
        assert [error.startswith(place) for error in errors[field]] == [True], errors
        assert shown_text(page, field) == "\n" + changed[field], "as it was typed"


def test_an_invalid_setting_of_a_connection_is_named_by_line_and_path() -> None:
    of, client = connection(), browser("administrator")
    address = f"/admin/sync/connection/{of.pk}/change/"
    page = refuse(address, connection_form(of, **as_json(settings=FAULTY_SETTINGS)), client)
    ((error,),) = errors_of(page).values()
    assert error.startswith("Line 4, entities.USER.path: ")
    assert shown_text(page, "settings") == "\n" + FAULTY_SETTINGS
    page = refuse(address, connection_form(of, **as_json(authentication='{\n "scheme": "magic"}')), client)
    (error,) = errors_of(page)["authentication"]
    assert error.startswith("Line 2, scheme: ")


def test_a_correct_text_is_shown_indented_on_the_next_visit() -> None:
    form = source_form(scheme="body-hmac", scheme_settings='{"header":   "X-Sig"}')
    client = browser("administrator")
    client.post("/admin/webhooks/source/add/", form)
    of = Source.objects.get()
    shown = form | as_json(scheme_settings='{"header": "X-Sig"}') | {"scheme_settings:do": "json"}
    page = client.post(f"/admin/webhooks/source/{of.pk}/change/", {**shown, "scheme_settings:mode": "form"})
    assert shown_text(page, "scheme_settings") == '\n{\n  "header": "X-Sig"\n}'


@pytest.mark.submission
def test_hostile_json_is_refused_with_a_sentence() -> None:
    of, client = source("aurora"), browser("administrator")
    for typed in ("[" * 100_000, "1" * 5000, "NaN", '{"a": 1e999}', '{"a": "\\u0000"}'):
        form = source_form(webhook_format=typed)
        page = refuse(f"/admin/webhooks/source/{of.pk}/change/", form, client)
        assert len(errors_of(page)["webhook_format"]) == 1


def test_a_refused_form_begins_with_links_to_its_errors() -> None:
    page = refuse("/admin/webhooks/source/add/", source_form(reason="", scheme_settings="{"))
    text = page.content.decode()
    listed = text.split('<ul class="error-links">', 1)[1].split("</ul>", 1)[0]
    assert re.findall(r'href="#([\w-]+)">', listed) == ["document-scheme_settings", "id_reason"]
    assert all(f'id="{name}"' in text for name in ("document-scheme_settings", "id_reason"))
