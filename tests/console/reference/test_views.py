"""The reference in the console: every page for all staff, every schema as JSON, and links from the editors."""

import json
import re
from collections import Counter
from html import unescape

import pytest
from django.test import Client

from console.reference.json_schemas import DOCUMENTS, make_schema
from console.reference.pages import PAGES
from console.ui.inline_code import inline_code
from tests.support.people import browser

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.mark.submission
def test_each_page_has_every_entry_once() -> None:
    client = browser("support")
    for name, make in PAGES.items():
        page, text = make(), client.get(f"/admin/reference/{name}/").content.decode()
        for entry in [*page.fields, *(entry for section in page.sections for entry in section.entries)]:
            assert f"<code>{entry.name}</code>" in text
        ids = re.findall(r'\sid="([^"]+)"', text)
        assert [target for target, number in Counter(ids).items() if number > 1] == []
        assert {unescape(target) for target in re.findall(r'href="#([^"]+)"', text)} <= {*map(unescape, ids)}


def test_the_index_links_to_every_page_and_schemas_are_served_as_json() -> None:
    client = browser("auditor")
    text = client.get("/admin/reference/").content.decode()
    assert [name for name in PAGES if f'href="/admin/reference/{name}/"' not in text] == []
    for name in DOCUMENTS:
        answer = client.get(f"/admin/reference/schemas/{name}.json")
        assert answer["Content-Type"] == "application/schema+json"
        assert json.loads(answer.content) == make_schema(name)
    for address in ("nothing/", "schemas/nothing.json"):
        assert client.get(f"/admin/reference/{address}").status_code == 404


def test_the_reference_is_for_staff_only_and_read_only() -> None:
    client = browser("support")
    for address in ("", "mapping/", "presets/", "schemas/mapping.json"):
        assert "/admin/login/" in Client().get(f"/admin/reference/{address}")["Location"]
        assert client.post(f"/admin/reference/{address}").status_code == 405


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a `<b>` & <i>", "a <code>&lt;b&gt;</code> &amp; &lt;i&gt;"),
        ("in *Sign <events>* of", "in <em>Sign &lt;events&gt;</em> of"),
        ("`a*b*` 2 * 3 * 4", "<code>a*b*</code> 2 * 3 * 4"),
        ("a*b*c **d**", "a*b*c **d**"),
    ],
)
def test_only_backticks_and_asterisks_become_markup(text: str, html: str) -> None:
    assert inline_code(text) == html
