"""Links of the documents lead to files that a clone has, to headings of theirs, and to the reference in the console."""

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.people import browser

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
REFERENCE_LINK = re.compile(r"\]\((http://127\.0\.0\.1:8000/admin/reference/[^)]*)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def tracked_files() -> set[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {ROOT / name for name in listed.stdout.split("\0") if name}


def documents() -> list[Path]:
    return [path for path in sorted(tracked_files()) if path.suffix == ".md" and path.exists()]


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


@pytest.mark.pure
def test_each_link_of_a_document_leads_to_a_tracked_file_and_a_heading() -> None:
    """Also refuses links to what `make docs` writes, which a clone does not have."""
    files = tracked_files()
    assert ROOT / "README.md" in documents()
    assert [link for document in documents() for link in broken_links(document, files)] == []


@pytest.mark.django_db
@pytest.mark.one_database
@pytest.mark.submission
def test_each_link_to_the_reference_leads_to_its_page_and_its_section() -> None:
    links = {link for file in documents() for link in REFERENCE_LINK.findall(file.read_text("utf-8"))}
    assert len(links) > 10
    client = browser("auditor")
    for link in sorted(links):
        parts = urlsplit(link)
        answer = client.get(f"{parts.path}?{parts.query}")
        assert answer.status_code == 200, link
        assert not parts.fragment or f'id="{parts.fragment}"' in answer.content.decode(), link
