"""What presets provide and accept: known meanings, at places where the samples have them, of fields that are sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from config_schema.expressions.jmespath_paths import compile_expression
from connectors import presets
from connectors.presets import PRESETS, ConnectionPreset
from connectors.presets.meanings import MEANINGS, FieldType
from connectors.records.field_coverage import list_unsent, sends_key
from connectors.registry import CONNECTOR_SIDES, SETTINGS_KINDS

pytestmark = [pytest.mark.pure, pytest.mark.presets]

PYTHON_TYPES = {FieldType.TEXT: str, FieldType.BOOLEAN: bool, FieldType.LIST: list}


def test_a_preset_describes_its_end_for_each_type_that_people_have() -> None:
    for name, preset in PRESETS.items():
        types = set(preset.connector_settings["entities"]) - {"FILE"}
        is_identity = CONNECTOR_SIDES[preset.connector] == "identity"
        assert set(preset.provides) == set(preset.samples) == (types if is_identity else set()), name
        assert set(preset.accepts) == (set() if is_identity else types), name


def test_each_provided_value_is_in_the_sample_and_has_the_type_of_its_meaning() -> None:
    for name, preset in PRESETS.items():
        for entity_type, places in preset.provides.items():
            assert "external_id" in places
            for meaning, place in places.items():
                value = compile_expression(place)(preset.samples[entity_type])
                assert isinstance(value, PYTHON_TYPES[MEANINGS[meaning].type]), (name, meaning)
                assert value not in ("", []), (name, meaning)


def test_each_accepted_field_is_sent_when_a_record_is_created_and_updated() -> None:
    for name, preset in PRESETS.items():
        settings = SETTINGS_KINDS[preset.connector].read(preset.connector_settings, ())
        for entity_type, accepted in preset.accepts.items():
            records = settings.entities[entity_type]
            create, updates = records.operations.create, records.operations.updates
            fields = [field.field for field in accepted if not field.is_read_only]
            assert len(set(fields)) == len(accepted), name
            unsent = set(list_unsent(records, [create], fields))
            key = {field.field for field in accepted if field.meaning == "external_id"}
            assert unsent <= (key if sends_key(create) else set()), name
            later = [
                field.field
                for field in accepted
                if not field.is_only_on_create and field.meaning != "external_id"
            ]
            assert list_unsent(records, updates, later) == [], name


def test_an_accepted_value_has_the_type_of_its_meaning_or_is_converted() -> None:
    for name, preset in PRESETS.items():
        for accepted in (field for fields in preset.accepts.values() for field in fields):
            place = (name, accepted.field)
            assert accepted.label, place
            if accepted.meaning is not None and accepted.convert is None:
                assert accepted.type == MEANINGS[accepted.meaning].type, place
            assert accepted.meaning is None or not (accepted.is_required and accepted.is_read_only), place


@pytest.mark.parametrize(
    ("part", "value", "place"),
    [
        ("provides", {"USER": {"shoe_size": "shoe"}}, ("provides", "USER", "shoe_size")),
        ("provides", {"USER": {"email": "emails["}}, ("provides", "USER", "email")),
        ("accepts", {"USER": [{"field": "a", "meaning": "shoe_size"}]}, ("accepts", "USER", 0, "meaning")),
        ("accepts", {"USER": [{"field": "a", "apply": ["rot13"]}]}, ("accepts", "USER", 0, "apply", 0)),
        (
            "accepts",
            {"USER": [{"field": "a", "required": True, "read_only": True}]},
            ("accepts", "USER", 0, "required"),
        ),
    ],
)
def test_an_unknown_meaning_or_expression_is_refused(
    part: str, value: Any, place: tuple[str | int, ...]
) -> None:
    document = json.loads(Path(presets.__file__).with_name("sandbox-shop.json").read_text("utf-8"))
    with pytest.raises(SettingsInvalid) as caught:
        ConnectionPreset.kind.read(document | {part: value}, ())
    assert caught.value.place == place
