"""The files of the presets of sources: complete, with known fields only, and valid as the settings of a source."""

import json
from pathlib import Path
from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from config_schema.preset_files import read_preset_files
from tests.support.rows import each_row
from tests.webhooks.presets.vendor_signatures import SIGNERS, UNSIGNED
from webhooks.models import Source
from webhooks.presets import source_presets
from webhooks.presets.source_presets import SOURCE_PRESETS, SourcePreset

pytestmark = [pytest.mark.pure, pytest.mark.presets]

FOLDER = Path(source_presets.__file__).parent
FILES = sorted(FOLDER.glob("*.json"))


def document(name: str = "keycloak") -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return read


def refusal(changed: dict[str, Any]) -> SettingsInvalid:
    with pytest.raises(SettingsInvalid) as caught:
        SourcePreset.kind.read(changed, ("keycloak.json",))
    return caught.value


def test_every_file_is_a_preset_with_a_signer_in_the_tests() -> None:
    assert {path.stem for path in FILES} == set(SOURCE_PRESETS) == {*SIGNERS, *UNSIGNED}


@each_row(SOURCE_PRESETS)
def test_its_settings_are_valid_and_it_names_its_needs_and_documentation(name: str) -> None:
    Source(slug=name, name=name, **SOURCE_PRESETS[name].copy_settings()).clean()
    metadata = SOURCE_PRESETS[name]
    assert all(need.endswith(".") for need in metadata.needs)
    assert metadata.is_public_page or name == "sandbox"
    assert metadata.follows


@each_row(
    [
        ("page", ""),
        ("page", "http://example.com/docs"),
        ("page", "javascript:alert(1)"),
        ("page", 'https://example.com/"onclick="x'),
        ("tested", "yes"),
        ("needs", []),
        ("samples", []),
    ]
)
def test_an_invalid_field_is_refused(field: str, value: Any) -> None:
    assert refusal(document() | {field: value}).place[:2] == ("keycloak.json", field)


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SettingsInvalid) as caught:
        read_preset_files(tmp_path, SourcePreset.kind)
    assert caught.value.place == ("broken.json",)
