"""The page of a target names the fields that it does not keep, and how many records show it."""

from typing import Any

import pytest
from django.utils import timezone

from console.settings.connections import page as connection_page
from sync.models import Connection, Link
from tests.support.builders.history import a_route, a_source
from tests.support.pages import visible_text
from tests.support.people import browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def target() -> Connection:
    return a_route(a_source()).target


def a_link(target: Connection, number: int, fields: str | None) -> Link:
    return Link.objects.create(
        identity=Connection.objects.get(side="identity"),
        target=target,
        entity_type="USER",
        entity_id=f"E{number}",
        record_id=str(number),
        applied_at=timezone.now(),
        unkept_fields=fields,
    )


def page_text(of: Connection) -> str:
    return visible_text(browser("administrator").get(f"/admin/sync/connection/{of.pk}/change/"))


@pytest.mark.parametrize("limit", [5, 0])
def test_the_page_warns_of_fields_that_are_not_kept(target: Connection, settings: Any, limit: int) -> None:
    settings.UNKEPT_WRITES = limit
    for number, fields in enumerate([None, '["phone"]', '["phone","zip"]']):
        a_link(target, number, fields)
    a_link(Connection.objects.create(slug="other", name="Other", side="target"), 3, '["city"]')
    text = page_text(target)
    assert "phone: 2 records" in text
    assert "zip: 1 record" in text
    assert "city" not in text
    assert ("After 5 equal writes" in text) is (limit == 5)


def test_the_records_read_and_fields_shown_are_limited(
    target: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        a_link(target, number, '["phone","zip"]')
    monkeypatch.setattr(connection_page, "MAX_RECORDS", 4)
    monkeypatch.setattr(connection_page, "MAX_FIELDS", 1)
    shown = connection_page.count_unkept_fields(target)
    assert shown.rows == (("phone", "at least 4 records"),)
    assert shown.more == "1 more field."
