"""Links of README and docs to the page *Reference* of the console lead to pages and settings that exist."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.people import browser

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
ROOT = Path(__file__).parents[3]
LINK = re.compile(r"\]\((http://127\.0\.0\.1:8000/admin/reference/[^)]*)\)")


@pytest.mark.submission
def test_each_link_to_the_reference_leads_to_its_page_and_its_section() -> None:
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    links = {link for file in files for link in LINK.findall(file.read_text("utf-8"))}
    assert len(links) > 10
    client = browser("auditor")
    for link in sorted(links):
        parts = urlsplit(link)
        answer = client.get(f"{parts.path}?{parts.query}")
        assert answer.status_code == 200, link
        assert not parts.fragment or f'id="{parts.fragment}"' in answer.content.decode(), link
