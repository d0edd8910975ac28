"""The link back from a page of details leads to the list that the person came from, as it was filtered."""

import pytest
from django.test import Client
from django.utils import timezone

from sync.models import Alarm, AlarmKind
from tests.support.people import browser

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

OWN = '<a href="/admin/sync/alarm/">← Alarms</a>'


@pytest.fixture
def page() -> str:
    now = timezone.now()
    alarm = Alarm.objects.create(kind=AlarmKind.AUDIT_BROKEN, began_at=now, raised_at=now)
    return f"/admin/sync/alarm/{alarm.pk}/change/"


@pytest.fixture
def client() -> Client:
    return browser("")


@pytest.mark.parametrize(
    ("came_from", "link"),
    [
        (
            "http://testserver/admin/sync/alarm/?state=ended&x=%22%3E",
            "/admin/sync/alarm/?state=ended&amp;x=%22%3E",
        ),
        ("http://testserver/admin/webhooks/event/?state=dead", "/admin/webhooks/event/?state=dead"),
        ("http://testserver/admin/webhooks/event/", "/admin/webhooks/event/"),
    ],
)
def test_it_leads_to_the_list_that_the_person_came_from(
    client: Client, page: str, came_from: str, link: str
) -> None:
    text = client.get(page, headers={"referer": came_from}).content.decode()
    name = "Alarms" if "alarm" in link else "Events"
    assert f'<a href="{link}">← {name}</a>' in text


def test_it_still_leads_there_after_a_form_of_the_page_was_sent(client: Client, page: str) -> None:
    """A redirect after POST names the page itself. Another page has no part in it, and an altered cookie neither."""
    list_url = "http://testserver/admin/webhooks/event/?state=dead&q=%C3%A4%3B%22"
    link = '<a href="/admin/webhooks/event/?state=dead&amp;q=%C3%A4%3B%22">← Events</a>'
    assert link in client.get(page, headers={"referer": list_url}).content.decode()
    again = {"referer": f"http://testserver{page}"}
    assert link in client.get(page, headers=again).content.decode()
    cookie = client.cookies["list"]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (page, True, "Lax")
    client.cookies["list"] = "admin:index?x=1"
    assert OWN in client.get(page, headers=again).content.decode()


@pytest.mark.parametrize(
    "came_from",
    [
        "",
        "http://evil.example/admin/sync/alarm/?state=ended",
        "http://testserver/admin/",
        "http://testserver/admin/sync/alarm/7/change/?x=1",
        "http://testserver/admin/preferences/",
        "javascript:alert(1)",
        "http://[",
    ],
)
def test_it_leads_to_the_list_of_the_page_otherwise(client: Client, page: str, came_from: str) -> None:
    assert OWN in client.get(page, headers={"referer": came_from}).content.decode()
