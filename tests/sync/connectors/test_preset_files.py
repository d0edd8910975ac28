"""The files of the presets of connections: complete, with known fields only."""

import json
from pathlib import Path
from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from sync.connectors import presets
from sync.connectors.presets import CONNECTION_PRESET, PRESETS, load_preset
from sync.connectors.registry import CONNECTOR_SIDES, validate_connection

pytestmark = [pytest.mark.pure, pytest.mark.presets]

FOLDER = Path(presets.__file__).parent
FILES = sorted(FOLDER.glob("*.json"))
# The settings that run against the real systems.
PEERS = Path(__file__).parents[2] / "peers" / "settings"


def document(**changed: Any) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / "trivore.json").read_text("utf-8"))
    return read | changed


def refusal(changed: dict[str, Any]) -> tuple[str | int, ...]:
    with pytest.raises(SettingsInvalid) as caught:
        CONNECTION_PRESET.read(changed, ("trivore.json",))
    return caught.value.place


def test_every_file_is_a_preset() -> None:
    assert {path.stem for path in FILES} == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_says_what_it_needs(name: str) -> None:
    preset = PRESETS[name]
    assert preset.connector in CONNECTOR_SIDES
    validate_connection(preset.connector, preset.settings, preset.authentication, "https://a.test")
    assert all(need.endswith(".") for need in preset.metadata.needs)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_file_has_the_standard_json_layout(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    "name", [name for name, preset in PRESETS.items() if (PEERS / f"{name}.json").exists()]
)
def test_what_is_tested_with_the_real_system_is_the_preset_itself(name: str) -> None:
    proved = json.loads((PEERS / f"{name}.json").read_text("utf-8"))
    preset = load_preset(name)
    assert {field: preset[field] for field in proved} == proved
    assert PRESETS[name].metadata.is_tested


def test_only_presets_tested_with_the_real_system_are_marked_so() -> None:
    tested = {name for name, preset in PRESETS.items() if preset.metadata.is_tested}
    assert tested - {"sandbox-identity", "sandbox-shop"} <= {path.stem for path in PEERS.glob("*.json")}


def test_an_unknown_field_is_refused() -> None:
    assert refusal(document(token="x")) == ("trivore.json", "token")


@pytest.mark.parametrize(
    "field", ["label", "needs", "page", "follows", "tested", "connector", "authentication", "settings"]
)
def test_a_missing_field_is_refused(field: str) -> None:
    changed = document()
    del changed[field]
    assert refusal(changed) == ("trivore.json", field)


def test_a_copy_leaves_the_preset_as_it_is() -> None:
    load_preset("trivore")["settings"].clear()
    assert PRESETS["trivore"].settings


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load_preset("../secrets")
