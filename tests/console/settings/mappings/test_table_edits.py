"""The table of a mapping edits its declaration: what nobody changed stays byte for byte. Pure."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.http import QueryDict

from connectors.presets import PRESETS
from console.document_forms.json_edits import rewrite_json
from console.settings.mappings.table.edits import TableEdit
from console.settings.mappings.table.rows import MappingTable, build_table
from devtools.sandbox_setup import MAPPINGS
from sync.mappings.preset_mapping import draft_declaration
from sync.planning.mapping_declaration import EXAMPLE, parse_mapping

pytestmark = pytest.mark.pure

PEERS = Path(__file__).parents[3] / "peers" / "settings"
# Kept as typed: line breaks, escapes, the digits of numbers, and settings that no control shows.
TYPED = """{
  "match": {"new": ["email"], "verified": {"new": {"email": {"path":"entity.emails", "apply": ["verified_email"]}}},
    "previous": { "email": "email" } },
  "fields": {
    "email": {"path": "entity.emails[0].address",
              "required": false, "apply": []},
    "n\\u00e4me": {"constant": 1.50, "when_absent": "keep"},
    "nested": {"constant": {"a": [1e3, "\\u0041"]}}, "odd": {"constant": "true"}
  },
  "reference_wait_minutes": 5
}"""


def posted_form(table: MappingTable, **changes: str) -> QueryDict:
    """Return what a browser sends of a table whose rows are shown, of the open one all controls."""
    form = QueryDict(mutable=True)
    form["open_row"] = table.open_name
    for row in table.rows:
        form[f"row-{row.number}"] = row.target.name
        if row.kind != "json":
            form[f"value-{row.number}"] = row.value
        if row.is_open:
            form[f"is_open-{row.number}"] = "1"
            form[f"name-{row.number}"] = row.target.name
            form[f"kind-{row.number}"] = str(row.kind)
            form.setlist(f"apply-{row.number}", row.functions)
            for switch in row.switches:
                if switch.is_on:
                    form[f"{switch.name}-{row.number}"] = "1"
            for name in ("when_absent", "linked", "when_missing"):
                form[f"{name}-{row.number}"] = row.rule.get(name) or ""
    form["external_id"] = table.external_id
    if table.wait is not None:
        form["reference_wait"] = table.wait
    for lookup in table.lookups:
        form[f"lookup-{lookup.number}"] = lookup.name
        if lookup.is_new:
            form[f"lookup_new-{lookup.number}"] = "1"
        for value in (lookup.previous, lookup.verified, lookup.verified_previous):
            if value is not None:
                form[value.key] = value.path
                if value.functions is not None:
                    form.setlist(f"{value.apply_key}-{lookup.number}", value.functions)
    for name, value in changes.items():
        form[name] = value
    return form


def table_of(text: str, open_name: str = "") -> MappingTable:
    return build_table(json.loads(text), {}, open_name, None, ())


def edited(text: str, open_name: str = "", **changes: str) -> tuple[str, TableEdit]:
    edit = TableEdit(json.loads(text))
    form = posted_form(table_of(text, open_name), **changes)
    edit.read_controls(form)
    edit.press(form)
    return edit.rewrite(text), edit


def declarations() -> list[Any]:
    """Return the declarations that the project ships, and the drafts of all pairs of presets."""
    peers = [json.loads(path.read_text()) for path in sorted(PEERS.glob("*-to-*.json"))]
    provided = [(name, values) for one in PRESETS.values() for name, values in one.provides.items()]
    drafts = (
        draft_declaration(values, preset.accepts[name])
        for preset in PRESETS.values()
        for name, values in provided
        if name in preset.accepts
    )
    return [
        EXAMPLE,
        *(declaration for _, declaration in MAPPINGS.values()),
        *(one for one in peers if "fields" in one),
        *drafts,
    ]


def generated(random: Random) -> dict[str, Any]:
    """Return a declaration with settings at random, valid or not."""

    def rule() -> Any:
        made: dict[str, Any] = {}
        choices: dict[str, list[Any]] = {
            "path": ["entity.a", "entity.\"b c\"[0] || 'x'", " entity.a ", "a\nb", "", 3],
            "constant": [None, True, "x", "7", '"q"', 1.5, {"a": [1]}, "l\nm"],
            "apply": [["trim"], [], ["lower", "nonsense"], "lower", [1]],
            "required": [True, False, "yes"],
            "caseless": [True, False],
            "only_on_create": [True, False],
            "when_absent": ["keep", "clear", None, 1],
            "linked": ["USER", None, ""],
            "unknown": [1],
        }
        for name in random.sample(sorted(choices), random.randint(0, 5)):
            made[name] = random.choice(choices[name])
        return random.choice([made, made, made, made, None, [], "text"])

    fields = {random.choice(["a", "é", "b c", "“", "x.y"]) + str(number): rule() for number in range(5)}
    match: dict[str, Any] = {
        "external_id": random.choice([None, "a0", 3]),
        "new": random.choice([["a0"], [], None, ["gone"]]),
        "previous": random.choice([{}, {"a0": "email"}, {"a1": " b"}, []]),
        "verified": random.choice([{}, {"new": {"a0": rule()}}, {"previous": {"b": rule()}}, 1]),
    }
    chosen = {name: match[name] for name in random.sample(sorted(match), random.randint(0, 4))}
    waits = [{}, *({"reference_wait_minutes": one} for one in (5, "5", "", " x", True, None, 1.0))]
    return {"fields": fields, "match": chosen} | random.choice(waits)


@pytest.mark.parametrize("number", [80, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_a_table_that_nobody_changed_is_the_declaration_byte_for_byte(number: int) -> None:
    """Holds it for every row open in turn, over shipped, drafted and generated declarations."""
    random = Random(37)
    documents = [*declarations(), *(generated(random) for _ in range(number))]
    assert len(documents) > number
    texts = [json.dumps(one, indent=random.choice([None, 1, 2])) for one in documents]
    for text in [TYPED, *texts]:
        for name in ("", *list(json.loads(text)["fields"])[:3]):
            assert edited(text, name)[0] == text


def test_one_changed_control_changes_its_place_alone() -> None:
    email, nested = TYPED.index('"email": {"path"'), TYPED.index('"n\\u00e4me"')
    text, _ = edited(TYPED, **{"value-0": "entity.username"})
    assert json.loads(text)["fields"]["email"]["path"] == "entity.username"
    for kept in (
        TYPED[:email].split('"fields"', maxsplit=1)[0],
        '"constant": 1.50',
        '{"a": [1e3, "\\u0041"]}',
    ):
        assert kept in text
    assert nested > 0
    text, _ = edited(TYPED, "email", **{"required-0": "1", "when_absent-0": "keep", "apply-0": "lower"})
    assert json.loads(text)["fields"]["email"] == {
        "path": "entity.emails[0].address",
        "required": True,
        "apply": ["lower"],
        "when_absent": "keep",
    }
    text, edit = edited(TYPED, "email", **{"name-0": "mail", "kind-0": "constant", "value-0": "7"})
    assert next(iter(json.loads(text)["fields"])) == "mail"
    assert json.loads(text)["fields"]["mail"]["constant"] == 7
    assert edit.open_row == "mail"
    text, edit = edited(TYPED, "email", **{"name-0": "nested"})
    assert text == TYPED
    assert "“nested”" in edit.problems[0]


@pytest.mark.parametrize(
    ("typed", "stored", "is_refused"),
    [
        ("60", 60, False),
        (" 0 ", 0, False),
        ("", None, False),
        ("an hour", "an hour", True),
        ("99999", 99999, True),
    ],
)
def test_the_wait_for_references_is_a_number_of_minutes(typed: str, stored: Any, is_refused: bool) -> None:
    """Holds that what is refused stays in the control, with a sentence."""
    text, _ = edited(TYPED, reference_wait=typed)
    assert json.loads(text).get("reference_wait_minutes") == stored
    assert text.startswith(TYPED[: TYPED.index('"reference_wait_minutes"')].rstrip(" ,\n"))
    table = table_of(text)
    assert table.wait == typed.strip()
    assert bool(table.wait_error) is is_refused


def test_buttons_add_move_remove_and_fill_rows() -> None:
    text, edit = edited(TYPED, act="down:0")
    assert list(json.loads(text)["fields"])[:2] == ["näme", "email"]
    assert next(iter(json.loads(edited(TYPED, act="up:0")[0])["fields"])) == "email"
    assert "email" not in json.loads(edited(TYPED, act="remove:0")[0])["fields"]
    text, edit = edited(TYPED, act="add:", add_field=" phone ")
    assert edit.open_row == "phone"
    text, edit = edited(text, "phone", pick="entity.mobiles[0].number")
    assert json.loads(text)["fields"]["phone"] == {"path": "entity.mobiles[0].number"}
    text, edit = edited(TYPED, "odd", pick="entity.locale")
    assert json.loads(text)["fields"]["odd"] == {"path": "entity.locale"}
    text, edit = edited(TYPED, pick="entity.emails[0].email")
    assert json.loads(text)["fields"]["email_2"] == {"path": "entity.emails[0].email"}
    text, edit = edited(TYPED, act="add_lookup:", add_lookup="odd")
    assert json.loads(text)["match"]["new"] == ["email", "odd"]
    match = json.loads(edited(TYPED, act="remove_lookup:0")[0])["match"]
    assert match == {"verified": {"new": {}}, "previous": {}}


def test_matching_is_answered_by_three_questions() -> None:
    text, _ = edited(
        TYPED,
        external_id="odd",
        **{"previous-0": "mail", "verified.previous-0": "mails", "verified.new_apply-0": "lower"},
    )
    document = json.loads(text)
    assert document["match"]["external_id"] == "odd"
    assert document["match"]["previous"] == {"email": "mail"}
    assert document["match"]["verified"]["previous"] == {"email": {"path": "mails"}}
    assert document["match"]["verified"]["new"]["email"]["apply"] == ["lower"]
    assert parse_mapping(document).match.external_id == "odd"


def test_a_rewritten_text_is_read_as_the_document() -> None:
    random = Random(38)
    for _ in range(200):
        before, after = generated(random), generated(random)
        after["fields"].update(before["fields"])
        text = json.dumps(before, indent=random.choice([None, 2]))
        assert json.loads(rewrite_json(text, after)) == after
