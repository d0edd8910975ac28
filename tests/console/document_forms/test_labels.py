"""Labels of settings, and sentences of closed cards: what a person reads in place of names and JSON."""

import re
from typing import Any

import pytest

from config_schema.kinds import ValueKind
from config_schema.objects import Object, VariantObject
from connectors.presets import load_preset
from connectors.registry import SETTINGS_KINDS
from connectors.settings.answer_rules import rule_list
from connectors.settings.list_items import ListItem
from connectors.values.answer_meaning import Meaning
from console.document_forms.control_families import inner_kinds
from console.document_forms.control_parts import CardList, iterate_parts
from console.document_forms.control_tree import TreeBuilder
from console.document_forms.labels import LABELS, label_name
from console.document_forms.summaries import summarize
from console.reference.json_schemas import DOCUMENTS
from tests.support.shown_controls import open_all

pytestmark = pytest.mark.pure


def setting_names() -> set[str]:
    def names_of(kind: ValueKind[Any]) -> set[str]:
        if isinstance(kind, Object):
            return {one.name for one in kind.settings}
        if isinstance(kind, VariantObject):
            return {one.name for name in kind.variants for one in kind.settings_of(name)}
        return set()

    return {
        name for _title, root in DOCUMENTS.values() for kind in inner_kinds(root) for name in names_of(kind)
    }


def test_each_label_of_the_table_is_of_a_setting_and_each_acronym_is_in_capital_letters() -> None:
    names = setting_names()

    assert set(LABELS) <= names
    wrong = re.compile(r"\b(ca|csrf|hmac|ids?|json|jwks|jwt|url|http)\b", re.IGNORECASE)
    assert not [
        label
        for label in map(label_name, names)
        for word in wrong.findall(label)
        if word.removesuffix("s") != word.removesuffix("s").upper() and word != "JWKS"
    ]
    assert (label_name("token_url"), label_name("USER")) == ("Token URL", "USER")


@pytest.mark.parametrize(
    ("name", "pointer", "sentence"),
    [
        ("vendure-target", "/entities/USER", "/admin-api: read, search, create, update, delete, list"),
        ("scim-identity", "/entities/USER", "GET /Users/{id}, listed by /Users"),
        ("scim-patch-target", "/entities/USER/operations/list", "GET /Users, pages by offset"),
        ("scim-patch-target", "/entities/USER/operations/update", "PATCH /Users/{id}, sends scim-patch"),
        ("scim-patch-target", "/entities/USER/operations/search", "GET /Users, by externalId, userName"),
    ],
)
def test_a_closed_card_says_what_it_does(name: str, pointer: str, sentence: str) -> None:
    preset = load_preset(name)
    kind = SETTINGS_KINDS[preset["connector"]]
    tree = TreeBuilder(preset["settings"], open_all(kind, preset["settings"])).build(kind)
    cards = {
        card.pointer: card
        for part in iterate_parts(tree)
        if isinstance(part, CardList)
        for card in part.cards
    }

    assert summarize(cards[pointer].kind, cards[pointer].value) == sentence


def test_rules_and_items_of_lists_are_written_as_sentences() -> None:
    rule = {"status": [404, "5xx"], "when": "body.gone", "means": "absent"}
    item = {"list": "emails", "where": [{"type": "work"}, {"primary": True}]}

    assert summarize(rule_list((Meaning.ABSENT,)).items, rule) == "Status 404, 5xx if body.gone: absent"
    assert summarize(ListItem.kind, item) == "value in the item of emails with type = work / primary = true"
