"""The sentence above a list is about all its rows, so that a page that shows a part of them says nothing."""

import pytest
from django.contrib import admin

from sync.models import PersonRequest
from tests.support.builders.history import a_replay, logged_in
from tests.support.pages import text_of
from tests.support.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

LIST = "/admin/sync/personrequest/"


def test_a_page_that_shows_a_part_of_a_list_says_nothing_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    by, client = person("support", "maija"), logged_in("support")
    a_replay(by, state="paused")
    assert "1 replay is paused." in text_of(client.get(LIST))
    for _ in range(2):
        a_replay(by, state="finished")
    assert "1 replay is paused." in text_of(client.get(LIST))
    assert "No replay is running." not in text_of(client.get(f"{LIST}?kind=approval"))
    monkeypatch.setattr(admin.site.get_model_admin(PersonRequest), "list_per_page", 2)
    for page in ("", "?p=2"):
        text = text_of(client.get(LIST + page))
        assert "No replay is running." not in text
        assert "is paused." not in text
