"""The command that writes the reference."""

import re
from pathlib import Path

import pytest
from django.core.management import call_command

pytestmark = pytest.mark.pure


def test_the_command_writes_files_whose_links_lead_somewhere_and_deletes_old_ones(tmp_path: Path) -> None:
    (tmp_path / "old.md").write_text("old")
    call_command("write_reference", tmp_path, verbosity=0)
    files = {path: path.read_text("utf-8") for path in tmp_path.rglob("*.md")}
    assert {path.name for path in files} >= {"README.md", "source.md", "mapping.md"}
    assert "old.md" not in {path.name for path in files}
    for path, text in files.items():
        anchors = [
            "".join(letter for letter in head.lower() if letter.isalnum() or letter in "_-")
            for head in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        ]
        assert len(anchors) == len(set(anchors)), f"{path}: a link would lead to the first of two headings"
        for target in re.findall(r"\]\(([^)]+)\)", text):
            if target.startswith("#"):
                assert target[1:] in anchors, (path, target)
            elif not target.startswith(("https://", "../")):
                assert path.parent.joinpath(target).exists(), (path, target)
