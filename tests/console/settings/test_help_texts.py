"""Each field of a form of settings says what it means, as the reference does; a JSON list has an example."""

import json
from collections.abc import Mapping
from html import unescape
from typing import Any

import pytest

from config_schema.model_fields import FieldSetting
from console.ui.inline_code import inline_code
from sync.models import CONNECTION_SETTINGS, ROUTE_SETTINGS
from tests.support.builders.history import a_route, a_source
from tests.support.people import browser
from webhooks.models import SOURCE_SETTINGS

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.mark.submission
@pytest.mark.parametrize("role", ["administrator", "auditor"])
def test_the_help_text_of_a_field_is_its_meaning_with_an_example_of_a_list(role: str) -> None:
    route, client = a_route(a_source()), browser(role)
    pages: tuple[tuple[str, Mapping[str, FieldSetting]], ...] = (
        (f"webhooks/source/{route.source_id}", SOURCE_SETTINGS),
        (f"sync/connection/{route.identity_id}", CONNECTION_SETTINGS),
        (f"sync/route/{route.pk}", ROUTE_SETTINGS),
    )
    for address, settings in pages:
        html = client.get(f"/admin/{address}/change/").content.decode()
        for name, setting in settings.items():
            assert inline_code(str(setting.meaning)) in html, (address, name)
            if isinstance(setting.example, list):
                assert f"Example: <code>{json_of(setting.example)}</code>" in unescape(html), (address, name)


def json_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
