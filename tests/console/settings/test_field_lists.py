"""The editor of a mapping lists the fields of its JSON document, as the reference describes them."""

import re

import pytest

from console.reference.pages import PAGES
from console.settings.field_lists import mapping_field_list
from sync.planning.mapping import ParsedMapping
from tests.support.builders.settings_rows import mapping
from tests.support.pages import text_of
from tests.support.people import browser


@pytest.mark.submission
@pytest.mark.django_db
def test_a_mapping_lists_its_fields_and_links_to_the_reference() -> None:
    page = browser("administrator").get(f"/admin/sync/mapping/{mapping().pk}/edit/?view=json")
    listed = set(re.findall(r"<dt><code>([^<]+)</code>", text_of(page)))
    assert {setting.name for setting in ParsedMapping.kind.settings} <= listed
    assert mapping_field_list().page in PAGES
    assert '"/admin/reference/functions/"' in page.content.decode()
