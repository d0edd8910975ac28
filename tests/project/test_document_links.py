"""Links between the documents lead to files that a clone has, and to headings of theirs."""

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def tracked_files() -> set[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {ROOT / name for name in listed.stdout.split("\0") if name}


def anchors(document: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", head).lower().replace(" ", "-") for head in heads)
    return {"".join(letter for letter in head if letter.isalnum() or letter in "_-") for head in plain}


def broken_links(document: Path, files: set[Path]) -> list[str]:
    broken = []
    for path, anchor in LINK.findall(CODE.sub("", document.read_text("utf-8"))):
        target = (document.parent / path).resolve() if path else document
        exists = target in files or any(target in file.parents for file in files)
        if not exists or (anchor and anchor not in anchors(target)):
            broken.append(f"{document.relative_to(ROOT)}: {path}#{anchor}")
    return broken


def test_each_link_of_a_document_leads_to_a_tracked_file_and_a_heading() -> None:
    """Also refuses links to what `make docs` writes, which a clone does not have."""
    files = tracked_files()
    documents = [path for path in sorted(files) if path.suffix == ".md" and path.exists()]
    assert ROOT / "README.md" in documents
    assert [link for document in documents for link in broken_links(document, files)] == []
