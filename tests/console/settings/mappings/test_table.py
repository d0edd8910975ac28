"""The table of a mapping in the console: picked values, red paths, masked samples, drafts from presets, its size."""

import json
import re
from typing import Any

import pytest
from django.test import Client

from console.settings.mappings.editor_page import EMPTY_DECLARATION
from sync.models import Connection, Mapping, MappingDraft, Route
from tests.support.builders.backtests import a_mapped_event, a_mapping_in_use
from tests.support.pages import text_of
from tests.support.people import browser

pytestmark = pytest.mark.django_db

LOWER = {"fields": {"email": {"path": "entity.email", "apply": ["lower"]}}}
SECRET = "Anna.Secret@example.com"
ENTITY = {"email": SECRET, "name": {"givenName": "Annabella"}, "tags": ["alpha", "beta", "gamma"]}


def address(of: Mapping, what: str = "edit") -> str:
    return f"/admin/sync/mapping/{of.pk}/{what}/"


def table_form(page: Any, **changes: str) -> dict[str, Any]:
    """Return what a browser sends of the closed rows of a page."""
    table, state = page.context["table"], page.context["state"]
    form = {f"row-{row.number}": row.target.name for row in table.rows}
    form |= {f"value-{row.number}": row.value for row in table.rows}
    form |= {"view": "table", "declaration": state.text, "event": state.sample.event}
    return {**form, "open_row": table.open_name, "seen_version": 1, "seen_draft": 0, **changes}


def seeing_contents() -> Client:
    return browser("administrator+support", "both")


def rows_of(page: Any) -> dict[str, Any]:
    return {row.target.name: row for row in page.context["table"].rows}


@pytest.mark.parametrize("what", ["edit", "try"])
def test_a_value_is_picked_from_the_tree_and_its_result_is_in_the_row(what: str) -> None:
    """Holds it for the whole page, and for the part that a script asks for."""
    of, route = a_mapping_in_use(LOWER)
    event = a_mapped_event(route, ENTITY)
    client = seeing_contents()
    form = table_form(client.get(address(of)), reveal="1", reason="new rules")
    revealed = client.post(address(of), form)
    assert rows_of(revealed)["email"].result.value == SECRET.lower()
    picked = client.post(address(of, what), table_form(revealed, pick="entity.name.givenName"))
    assert rows_of(picked)["givenName"].result.value == "Annabella"
    assert rows_of(picked)["givenName"].is_open
    assert f"For {event.entity_id}" in text_of(picked)
    form = table_form(
        picked, **{"is_open-1": "1", "name-1": "first_name", "kind-1": "path", "apply-1": "upper"}
    )
    changed = client.post(address(of, what), form)
    assert rows_of(changed)["first_name"].result.value == "ANNABELLA"
    assert client.post(address(of), table_form(changed, save="1")).status_code == 302
    assert MappingDraft.objects.get().declaration["fields"] == {
        **LOWER["fields"],
        "first_name": {"path": "entity.name.givenName", "apply": ["upper"]},
    }


def test_a_person_without_the_right_sees_names_and_no_value_nor_result() -> None:
    """Names of fields are never masked; what an expression gives would tell the value."""
    of, route = a_mapping_in_use(LOWER)
    event = a_mapped_event(route, ENTITY)
    for client in (browser("administrator"), seeing_contents()):
        page = client.get(address(of))
        text = text_of(page)
        assert all(f">{name}</button>" in text for name in ("email", "givenName", "tags"))
        assert not any(value in text.lower() for value in (SECRET.lower(), "annabella", "alpha"))
        assert page.context["trial"].is_masked
        assert rows_of(page)["email"].result is None
    assert event.entity_id not in text_of(browser("administrator", "other").get(address(of)))


@pytest.mark.parametrize(
    ("entity", "called"),
    [
        (
            {"name": {"givenName": "Anna", "familyName": "Aalto"}, "emails": [{"address": SECRET}]},
            "Anna Aalto",
        ),
        ({"name": {"givenName": 1}, "emails": [{"address": SECRET}]}, SECRET),
        ({"emails": []}, ""),
    ],
)
def test_the_heading_of_the_results_names_the_person_once_values_may_be_seen(
    entity: dict[str, Any], called: str
) -> None:
    of, route = a_mapping_in_use(LOWER)
    Connection.objects.filter(pk=route.identity_id).update(preset="sandbox-identity")
    event = a_mapped_event(route, entity)
    client = seeing_contents()
    page = client.get(address(of))
    assert page.context["person"] == ""
    revealed = client.post(address(of), table_form(page, reveal="1", reason="new rules"))
    assert f"For {called or event.entity_id}" in text_of(revealed)


def test_a_path_that_no_sample_has_is_red_and_an_unknown_root_too() -> None:
    of, route = a_mapping_in_use(LOWER)
    a_mapped_event(route, {"email": SECRET}, 1)
    a_mapped_event(route, {"phone": "1"}, 2)
    client = browser("administrator")
    page = client.get(address(of))
    rows = rows_of(client.post(address(of), table_form(page, **{"value-0": "entity.emial.x"})))
    assert rows["email"].warning == "No sample has “emial”. Check the spelling."
    rows = rows_of(client.post(address(of), table_form(page, **{"value-0": "entity.phone || entity.email"})))
    assert not rows["email"].is_red
    wrong = client.post(address(of), table_form(page, **{"value-0": "entitty.email"}))
    assert "begins with entitty" in rows_of(wrong)["email"].errors[0]
    assert 'aria-invalid="true"' in text_of(wrong)
    assert "begins with entitty" in text_of(client.post(address(of), table_form(wrong, save="1")))
    assert not MappingDraft.objects.exists()


def test_one_row_that_fails_hides_no_other() -> None:
    of, _route = a_mapping_in_use(
        {"fields": {"a": {"path": "entity.a", "required": True}, "b": {"path": "entity.b"}}}
    )
    client = browser("administrator")
    page = client.post(address(of), table_form(client.get(address(of)), event="", entity='{"b": "shown"}'))
    assert "required, but `entity.a` matched nothing" in rows_of(page)["a"].problem
    assert rows_of(page)["b"].result.value == "shown"
    assert "The record would not be written." in text_of(page)


def test_two_people_who_edit_the_table_at_once_lose_nothing() -> None:
    of, _route = a_mapping_in_use(LOWER)
    anna, ben = browser("administrator", "anna"), browser("administrator", "ben")
    first, second = (client.get(address(of)) for client in (anna, ben))
    anna.post(address(of), table_form(first, save="1", **{"value-0": "entity.username"}))
    answer = ben.post(address(of), table_form(second, save="1", **{"value-0": "entity.mail"}))
    assert answer.status_code == 200
    assert rows_of(answer)["email"].value == "entity.mail"
    assert "while you were editing" in text_of(answer)
    seen = answer.context["seen"]
    again = table_form(answer, save="1") | {"seen_version": seen.version_number, "seen_draft": seen.draft_id}
    assert ben.post(address(of), again).status_code == 302


def test_the_json_of_the_table_is_a_tab_and_loses_nothing() -> None:
    of, _route = a_mapping_in_use(LOWER)
    client = browser("administrator")
    as_json = client.post(
        address(of), table_form(client.get(address(of)), show="json", **{"value-0": "entity.x"})
    )
    text = as_json.context["state"].text
    assert 'id="id_declaration"' in text_of(as_json)
    assert json.loads(text)["fields"]["email"]["path"] == "entity.x"
    spelled = text.replace('"entity.x"', '"entity.\\u0078"').replace("{\n", "{\n\n")
    form = {"view": "json", "show": "table", "declaration": spelled}
    table = client.post(address(of), form)
    assert rows_of(table)["email"].value == "entity.x"
    assert table.context["state"].text == spelled
    broken = client.post(address(of), {**form, "declaration": "{"})
    assert "The table cannot show this text." in text_of(broken)


def test_a_mapping_between_presets_is_drafted_and_shows_what_the_target_accepts() -> None:
    of, route = a_mapping_in_use(json.loads(EMPTY_DECLARATION))
    Connection.objects.filter(pk=route.identity_id).update(preset="sandbox-identity")
    Connection.objects.filter(pk=route.target_id).update(preset="sandbox-shop")
    client = browser("administrator")
    page = client.get(address(of))
    assert page.context["state"].sample.event == "preset"
    assert rows_of(page)["email"].target.notes == ("required by the target",)
    assert not rows_of(page)["first_name"].is_declared
    drafted = client.post(address(of), table_form(page, draft_presets="1"))
    assert rows_of(drafted)["first_name"].result.value == "Anna"
    assert not drafted.context["may_draft"]
    filled = client.post(address(of), table_form(page, **{"value-3": "entity.name.familyName"}))
    assert rows_of(filled)[rows_of(page) and list(rows_of(page))[3]].is_declared


def test_a_table_of_thirty_fields_with_its_sample_is_well_below_60_kb() -> None:
    names = [f"field_{number}" for number in range(30)]
    rules = {name: {"path": f"entity.{name}", "apply": ["trim"], "required": True} for name in names}
    of, route = a_mapping_in_use({"fields": rules, "match": {"external_id": names[0], "new": names[1:3]}})
    a_mapped_event(
        route, {name: {"value": name, "type": "work"} for name in (*names, *map(str.upper, names))}
    )
    client = seeing_contents()
    page = client.get(address(of))
    assert len(page.context["table"].rows) == 30
    # 15 % below the limit, for longer names and sentences.
    assert len(page.content) <= 52_000
    opened = client.post(address(of), table_form(page, act="open:3"))
    assert len(opened.content) <= 52_000
    assert len(re.findall(r"<tr class=\"open", opened.content.decode())) == 2
    assert Route.objects.count() == 1
