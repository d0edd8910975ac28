"""The committed reference is what the code generates."""

import re
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils.translation import override

from config_schema.model_fields import FieldSetting
from integration_hub.devtools.reference_files import make_reference
from webhooks.models import SOURCE_SETTINGS

pytestmark = pytest.mark.pure

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"


def committed() -> dict[str, str]:
    """Return the text of each file of the reference."""
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    return {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in files}


def test_the_committed_reference_is_what_the_code_generates() -> None:
    assert committed() == make_reference(), "run `manage.py write_reference`"


def test_the_reference_is_in_english_whatever_the_language() -> None:
    with override("fi"):
        assert make_reference() == committed()


def test_a_variant_with_another_meaning_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    other = FieldSetting("Something else.", "x")
    monkeypatch.setitem(SOURCE_SETTINGS, "name", other)  # type: ignore[arg-type]
    assert {name for name, text in make_reference().items() if text != committed()[name]} == {"source.md"}


def test_the_command_writes_all_files_and_deletes_old_ones(tmp_path: Path) -> None:
    (tmp_path / "old.md").write_text("old")
    call_command("write_reference", tmp_path, verbosity=0)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")} == set(committed())


def test_every_link_of_the_reference_leads_somewhere() -> None:
    files = {name: text for name, text in committed().items() if name.endswith(".md")}
    for name, text in files.items():
        anchors = [
            "".join(letter for letter in head.lower() if letter.isalnum() or letter in "_-")
            for head in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        ]
        assert len(anchors) == len(set(anchors)), f"{name}: a link would lead to the first of two headings"
        for target in re.findall(r"\]\(([^)]+)\)", text):
            if target.startswith("https://"):
                continue
            if target.startswith("#"):
                assert target[1:] in anchors, (name, target)
            else:
                assert (FOLDER / name).parent.joinpath(target).exists(), (name, target)
