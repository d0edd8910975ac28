"""Controls of documents: everything has one, what is shown and sent back changes nothing, and one control one place."""

import json
from typing import Any

import pytest

from config_schema.kinds import ValueKind
from connectors.presets import PRESETS, load_preset
from connectors.registry import SETTINGS_KINDS
from connectors.settings.authentication import AUTHENTICATION
from console.document_forms.control_families import Family, family_of, inner_kinds
from console.document_forms.control_parts import Control, Group, iterate_controls, iterate_parts
from console.document_forms.control_tree import TreeBuilder
from console.document_forms.submitted_edits import SubmittedControls, apply_controls, leave_out_other_variants
from sync.models import ROUTE_SETTINGS
from sync.planning.mapping import ParsedMapping
from tests.support.shown_controls import open_all, submit_shown
from webhooks.protocol.formats.webhook_format import WebhookFormat
from webhooks.protocol.handshake import HANDSHAKE
from webhooks.protocol.schemes import SCHEMES
from webhooks.responses.response_format import RESPONSE_FORMAT

MOST_CONTROLS = 600
_ROOTS: tuple[Any, ...] = (
    AUTHENTICATION,
    *SETTINGS_KINDS.values(),
    HANDSHAKE,
    RESPONSE_FORMAT,
    WebhookFormat.kind,
    ParsedMapping.kind,
    *(scheme.schema for scheme in SCHEMES.values()),
    *(setting.kind for setting in ROUTE_SETTINGS.values() if setting.kind is not None),
)
_DOCUMENTS = [
    (name, field, kind, load_preset(name)[field])
    for name, preset in PRESETS.items()
    for field, kind in (("authentication", AUTHENTICATION), ("settings", SETTINGS_KINDS[preset.connector]))
]


def test_every_kind_that_a_document_can_have_has_a_control() -> None:
    kinds = [kind for root in _ROOTS for kind in inner_kinds(root)]

    assert {family_of(kind) for kind in kinds} == set(Family)


def test_what_is_shown_and_sent_back_leaves_every_preset_byte_for_byte() -> None:
    changed, most = [], 0
    for name, field, kind, document in _DOCUMENTS:
        opened = open_all(kind, document)
        most = max(most, sum(1 for _ in iterate_controls(TreeBuilder(document, opened).build(kind))))
        edited = apply_controls(kind, document, submit_shown(kind, document, opened))
        if (
            json.dumps(leave_out_other_variants(kind, edited.document)) != json.dumps(document)
            or edited.problems
        ):
            changed.append((name, field, edited.problems))

    assert not changed
    assert most < MOST_CONTROLS


def test_no_value_of_a_preset_is_without_a_control() -> None:
    unshown = []
    for name, field, kind, document in _DOCUMENTS:
        tree = TreeBuilder(document, open_all(kind, document)).build(kind)
        unshown += [
            (name, field, part.pointer, part.unshown)
            for part in iterate_parts(tree)
            if isinstance(part, Group) and part.unshown
        ]

    assert not unshown


SETTINGS = SETTINGS_KINDS["rest-identity"]
DOCUMENT: dict[str, Any] = {
    "entities": {
        "USER": {
            "path": "/users/{id}",
            "method": "GET",
            "query": {"a": ["x"], "b": "y"},
            "list": {"path": "/users", "count": None, "size": 50},
            "answers": [{"status": 404, "means": "absent"}, {"status": [409, "4xx"], "means": "refused"}],
            "odd": 1.0,
        }
    },
    "networks": [],
}


def _edit(document: Any, kind: ValueKind[Any] = SETTINGS, **changes: Any) -> Any:
    opened = open_all(kind, document)
    shown = submit_shown(kind, document, opened)
    values = {**shown.values, **changes.pop("values", {})}
    names = {**shown.names, **changes.pop("names", {})}
    row_values = {**shown.row_values, **changes.pop("row_values", {})}
    facts = {"nulls": {**shown.nulls, **changes.pop("nulls", {})}, "constants": shown.constants, **changes}
    return apply_controls(
        kind, document, SubmittedControls(values, names, row_values, opened=opened, **facts)
    )


def _with(pointer: str, value: Any) -> Any:
    document = json.loads(json.dumps(DOCUMENT))
    *steps, last = pointer.split("/")[1:]
    inner = document
    for step in steps:
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    inner[last] = value
    return document


@pytest.mark.parametrize(
    ("pointer", "text", "value"),
    [
        ("/entities/USER/path", "/people/{id}", "/people/{id}"),
        ("/entities/USER/list/size", "20", 20),
        ("/entities/USER/record", "data", "data"),
        ("/entities/USER/answers/0/status", "404 410", [404, 410]),
        ("/entities/USER/list/complete", "on", True),
        ("/networks", "10.0.0.0/8\r\n\r\n fd00::/8", ["10.0.0.0/8", "fd00::/8"]),
        ("/entities/USER/method", "POST", "POST"),
    ],
)
def test_a_changed_control_changes_its_place_alone(pointer: str, text: str, value: Any) -> None:
    edited = _edit(DOCUMENT, values={pointer: text})

    assert json.dumps(edited.document) == json.dumps(_with(pointer, value))


def test_an_emptied_control_removes_its_setting_and_null_stays_null() -> None:
    edited = _edit(DOCUMENT, values={"/entities/USER/list/size": "", "/networks": ""}).document

    assert edited["entities"]["USER"]["list"] == {"path": "/users", "count": None}
    assert edited["networks"] == []


def test_what_is_no_value_of_its_kind_is_kept_beside_the_document() -> None:
    edited = _edit(DOCUMENT, values={"/entities/USER/list/size": "many", "/entities/USER/body": "{"})

    assert json.dumps(edited.document) == json.dumps(DOCUMENT)
    assert edited.problems["/entities/USER/list/size"].text == "many"
    assert edited.problems["/entities/USER/body"].text == "{"


def test_rows_are_added_and_dropped_and_others_stay() -> None:
    pointer = "/entities/USER/query"
    added = _edit(DOCUMENT, names={pointer: ["a", "b", "c"]}, row_values={pointer: ["x", "y", "z"]}).document
    dropped = _edit(DOCUMENT, action="drop:1", pointer=pointer).document
    nameless = _edit(DOCUMENT, names={pointer: ["a", "", "c"]}, row_values={pointer: ["x", "y", "z"]})

    assert added["entities"]["USER"]["query"] == {"a": ["x"], "b": "y", "c": "z"}
    assert dropped["entities"]["USER"]["query"] == {"a": ["x"]}
    assert nameless.document == DOCUMENT
    assert nameless.problems[pointer].rows == (("a", "x"), ("", "y"), ("c", "z"))


def test_cards_move_and_stay_open() -> None:
    place = "/entities/USER/answers"
    base = frozenset({"/entities/USER", f"{place}/0"})

    def press(action: str, pointer: str) -> Any:
        return apply_controls(
            SETTINGS, DOCUMENT, SubmittedControls(opened=base, action=action, pointer=pointer)
        )

    down, gone, more = press("down", f"{place}/0"), press("remove", f"{place}/0"), press("add", place)

    rules = DOCUMENT["entities"]["USER"]["answers"]
    assert down.document["entities"]["USER"]["answers"] == [rules[1], rules[0]]
    assert down.opened == {"/entities/USER", f"{place}/1"}
    assert gone.document["entities"]["USER"]["answers"] == [rules[1]]
    assert gone.opened == {"/entities/USER"}
    assert more.document["entities"]["USER"]["answers"] == [*rules, {}]
    assert f"{place}/2" in more.opened


def test_a_card_gets_another_name_at_its_position() -> None:
    two = {"entities": {"USER": {"path": "/a/{id}"}, "GROUP": {"path": "/b/{id}"}}}
    renamed = _edit(two, keys={"/entities/USER": "PERSON"})
    taken = _edit(two, keys={"/entities/USER": "GROUP"})

    assert json.dumps(renamed.document["entities"]) == json.dumps(
        {"PERSON": {"path": "/a/{id}"}, "GROUP": {"path": "/b/{id}"}}
    )
    assert "/entities/PERSON" in renamed.opened
    assert taken.document == two
    assert "/entities" in taken.problems


def test_an_update_becomes_several_in_order() -> None:
    kind = SETTINGS_KINDS["rest-target"]
    update = {"path": "/c/{id}"}
    document = {"entities": {"USER": {"operations": {"update": update}}}}
    place = "/entities/USER/operations/update"

    edited = _edit(document, kind, action="add", pointer=place)

    assert edited.document["entities"]["USER"]["operations"]["update"] == [update, {}]
    assert {f"{place}/0", f"{place}/1"} <= edited.opened


def test_another_variant_keeps_its_fields_until_the_document_is_saved() -> None:
    document = {"scheme": "header", "header": "X-Key", "client_certificate": True}
    edited = _edit(document, AUTHENTICATION, values={"/scheme": "basic"}).document
    tree = TreeBuilder(edited).build(AUTHENTICATION)

    assert edited == {**document, "scheme": "basic"}
    assert not any(isinstance(one, Control) and one.pointer == "/header" for one in iterate_controls(tree))
    assert leave_out_other_variants(AUTHENTICATION, edited) == {"scheme": "basic", "client_certificate": True}


def test_a_body_is_made_of_rows_with_expressions_or_of_json() -> None:
    kind, pointer = SETTINGS_KINDS["rest-target"], "/entities/USER/operations/create/body"
    document = {"entities": {"USER": {"operations": {"create": {"path": "/contacts"}}}}}
    rows = {"names": {pointer: ["contact", ""]}, "row_values": {pointer: ["sent", ""]}}

    def body_of(**changes: Any) -> Any:
        edited = _edit(document, kind, **changes)
        return edited.document["entities"]["USER"]["operations"]["create"].get("body"), list(edited.problems)

    assert body_of(**rows) == ({"contact": {"expression": "sent"}}, [])
    assert body_of(values={pointer: '{"query": "{ me }"}'}) == ({"query": "{ me }"}, [])
    assert body_of(values={pointer: "{}"}, **rows) == (None, [pointer])
