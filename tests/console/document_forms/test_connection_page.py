"""The documents of a connection are edited with controls without scripts: buttons save nothing and echo no secret."""

import json
from typing import Any

import pytest

from connectors.presets import PRESETS, load_preset
from connectors.registry import SETTINGS_KINDS
from sync.models import Connection
from tests.support.pages import visible_text
from tests.support.people import browser
from tests.support.shown_controls import open_all
from tests.support.shown_fields import read_fields

pytestmark = pytest.mark.django_db

MOST_BYTES = 40_000
TYPED = "typed-but-never-shown-1"


def make_connection(preset: str = "directus-identity", **values: Any) -> Connection:
    chosen = load_preset(preset)
    return Connection.objects.create(
        **{
            "slug": "one",
            "name": "One",
            "side": chosen["connector"].removeprefix("rest-"),
            "connector": chosen["connector"],
            "base_url": "https://system.example",
            "authentication": chosen["authentication"],
            "settings": chosen["settings"],
            "credentials": {},
            # What is disabled contacts nobody: its address is not looked up.
            "is_enabled": False,
            "catch_up_minutes": None,
        }
        | values
    )


def address(of: Connection) -> str:
    return f"/admin/sync/connection/{of.pk}/change/"


def press(client: Any, of: Connection, fields: dict[str, list[str]], button: str, **typed: Any) -> Any:
    name, _space, value = button.partition("=")
    return client.post(address(of), {**fields, **typed, name: value})


@pytest.mark.parametrize(
    "presets",
    [
        # A fixed secret; OAuth with much that is optional; the largest document; answers with sentences.
        ("directus-identity", "salesforce-contacts-target", "vendure-target", "directus-target"),
        pytest.param(tuple(PRESETS), marks=pytest.mark.submission),
    ],
)
def test_the_page_of_a_preset_is_small_and_shown_and_saved_changes_nothing(presets: tuple[str, ...]) -> None:
    client, sizes, changed = browser("administrator"), {}, []
    for number, name in enumerate(presets):
        of = make_connection(name, slug=f"c{number}")
        page = client.get(address(of))
        sizes[name] = len(page.content)
        answer = client.post(address(of), read_fields(page), follow=True)
        if "Nothing was changed." not in answer.content.decode():
            changed.append(name)
        of.delete()

    assert not {name: size for name, size in sizes.items() if size > MOST_BYTES}
    assert not changed
    assert b"jquery" not in page.content


def test_a_card_is_opened_changed_and_saved_with_everything_else_as_it_was() -> None:
    of, client = make_connection(), browser("administrator")
    # PostgreSQL orders the fields of an object itself.
    of.refresh_from_db()
    before = json.dumps(of.settings)
    opened = press(client, of, read_fields(client.get(address(of))), "settings:do=open /entities/USER")
    fields = read_fields(opened)
    path = "settings:v:/entities/USER/path"
    old = fields[path][-1]

    confirmation = client.post(address(of), {**fields, path: "/people/{id}"}, follow=True)
    saved = client.post(
        confirmation.redirect_chain[-1][0], {"reason": "they moved it", "seen": confirmation.context["seen"]}
    )
    of.refresh_from_db()

    assert opened.status_code == 200
    assert saved.status_code == 302
    assert json.dumps(of.settings) == before.replace(json.dumps(old), '"/people/{id}"', 1)


def test_a_button_saves_nothing_complains_of_nothing_and_echoes_no_secret() -> None:
    of, client = make_connection(), browser("administrator")
    fields = read_fields(client.get(address(of)))
    typed = {"authentication:v:/scheme": "basic", "name": "", "token": TYPED}

    answer = press(client, of, fields, "authentication:do=again", **typed)
    text = answer.content.decode()
    of.refresh_from_db()

    assert of.name == "One"
    assert TYPED not in text
    assert "errornote" not in text
    assert 'name="username"' in text
    assert 'name="password"' in text
    assert 'name="token"' not in text


def test_a_typed_credential_is_asked_for_again_after_a_button() -> None:
    of, client = make_connection(), browser("administrator")
    fields = read_fields(client.get(address(of)))

    answer = press(client, of, fields, "settings:do=open /entities/USER", token=TYPED)

    assert TYPED not in answer.content.decode()
    assert "Enter it again before you save" in visible_text(answer)


def test_an_error_is_beside_its_control_in_a_card_that_opens() -> None:
    of, client = make_connection(), browser("administrator")
    opened = press(client, of, read_fields(client.get(address(of))), "settings:do=open /entities/USER")
    fields = {**read_fields(opened), "settings:v:/entities/USER/path": "people"}
    closed = press(client, of, fields, "settings:do=close /entities/USER")

    answer = client.post(address(of), read_fields(closed))
    text = answer.content.decode()

    assert "/people" not in text
    assert "Entities › USER › Path: This must be a path that begins with /" in visible_text(answer)
    assert 'name="settings:v:/entities/USER/path"' in text
    assert 'aria-invalid="true"' in text


def test_the_document_is_shown_as_json_and_as_a_form_again() -> None:
    of, client = make_connection(), browser("administrator")
    fields = read_fields(client.get(address(of)))
    as_json = read_fields(press(client, of, fields, "settings:do=json"))
    assert json.loads(as_json["settings"][-1]) == of.settings
    assert not [name for name in as_json if name.startswith("settings:v:")]

    broken = press(client, of, {**as_json, "settings": ["{"]}, "settings:do=form")
    again = press(client, of, as_json, "settings:do=form")

    assert read_fields(broken)["settings"][-1] == "{"
    assert read_fields(again)["settings:mode"] == ["form"]


def test_what_is_no_number_is_shown_again_with_its_error() -> None:
    of, client = make_connection(), browser("administrator")
    fields = read_fields(client.get(address(of)))
    fields = read_fields(press(client, of, fields, "settings:do=open /entities/USER"))
    place = "/entities/USER/list"
    fields = read_fields(press(client, of, fields, f"settings:do=open {place}"))
    fields = read_fields(press(client, of, fields, f"settings:do=open {place}/?more"))

    answer = client.post(address(of), {**fields, f"settings:v:{place}/first_page": "many"})

    assert "This must be a whole number." in visible_text(answer)
    assert read_fields(answer)[f"settings:v:{place}/first_page"] == ["many"]


def test_too_many_open_cards_are_closed_and_nothing_is_lost() -> None:
    of, client = make_connection("scim-patch-target"), browser("administrator")
    for operation in of.settings["entities"]["USER"]["operations"].values():
        operation["answers"] = [{"status": 404, "means": "absent"}] * 30
    of.save()
    fields = read_fields(client.get(address(of)))
    opened = open_all(SETTINGS_KINDS[of.connector], of.settings)

    answer = press(client, of, fields, "settings:do=again", **{"settings:open:": sorted(opened)})

    assert "Too many cards are open at once. All were closed; nothing was lost." in visible_text(answer)
    assert "settings:open:" not in read_fields(answer)
    assert json.loads(read_fields(answer)["settings"][-1]) == of.settings


def test_what_the_form_does_not_show_is_named_and_stays() -> None:
    of, client = make_connection(), browser("administrator")
    of.settings |= {"invented": 1, "headers": 5}
    of.save()

    page = client.get(address(of))
    again = press(client, of, read_fields(page), "settings:do=again")

    for name in ("invented", "headers"):
        assert f"The form does not show “{name}”: see As JSON." in visible_text(page)
    assert json.loads(read_fields(again)["settings"][-1]) == of.settings
