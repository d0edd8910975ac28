"""Personal preferences: the menu of the role, the time zone, the keyboard shortcuts."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from console.models import Preference
from console.ui.formatting import render_age
from tests.support.builders.history import an_event, logged_in

pytestmark = pytest.mark.django_db
PAGE = "/admin/preferences/"


def menu_lines(client: Client) -> list[str]:
    """Return the lines of the menu in order."""
    text = client.get(PAGE).content.decode()
    nav = text[text.index('<nav id="console-nav"') : text.index("</nav>")]
    return re.findall(r"<li>\s*<a [^>]*>\s*([^<]+?)\s*<", nav)


@pytest.mark.submission
def test_the_menu_contains_exactly_the_pages_of_the_role_and_each_line_opens() -> None:
    support, auditor, administrator = (
        menu_lines(logged_in(role)) for role in ("support", "auditor", "administrator")
    )
    assert "Events" in support
    assert "Audit log" not in support
    assert "Exports" in auditor
    assert "People" not in auditor
    assert {"Sources", "Connections", "People", "Audit log"} <= set(administrator)
    assert menu_lines(logged_in()) == ["Overview", "Reference"]
    client = logged_in("administrator")
    links = re.findall(r'<li>\s*<a href="([^"]+)"', client.get(PAGE).content.decode())
    assert len(links) > 8
    assert {link: client.get(link).status_code for link in links} == dict.fromkeys(links, 200)


def test_times_are_shown_in_the_persons_zone_from_the_next_page_on() -> None:
    event = an_event()
    client = logged_in("support")
    assert client.post(PAGE, {"time_zone": "Europe/Helsinki", "has_shortcuts": "on"}).status_code == 302
    assert (
        "2026-03-04 14:00:00 EET" in client.get(f"/admin/webhooks/event/{event.pk}/change/").content.decode()
    )
    later = Client()
    later.force_login(User.objects.get(preference__time_zone="Europe/Helsinki"))
    assert (
        "2026-03-04 14:00:00 EET" in later.get(f"/admin/webhooks/event/{event.pk}/change/").content.decode()
    )
    page = logged_in("support").get(f"/admin/webhooks/event/{event.pk}/change/").content.decode()
    assert "2026-03-04 12:00:00 UTC" in page
    client.post(PAGE, {"time_zone": "", "has_shortcuts": "on"})
    page = client.get(f"/admin/webhooks/event/{event.pk}/change/").content.decode()
    assert "2026-03-04 12:00:00 UTC" in page, "back to the default"


def test_an_unknown_zone_is_refused_and_not_stored() -> None:
    answer = logged_in("support").post(PAGE, {"time_zone": "../../etc/passwd"})
    assert answer.status_code == 200
    assert not Preference.objects.exists()


@pytest.mark.submission
def test_shortcuts_can_be_switched_off() -> None:
    client = logged_in("support")
    assert "no-keys" not in client.get(PAGE).content.decode()
    client.post(PAGE, {"time_zone": ""})
    assert "no-keys" in client.get(PAGE).content.decode()


@pytest.mark.submission
def test_a_page_costs_no_statement_for_preferences(django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    client = logged_in("support")
    client.post(PAGE, {"time_zone": "Asia/Tokyo"})
    # Session, person, permissions, awaited requests, the form's own row, and on SQLite whether the hub is being moved.
    with django_assert_num_queries(6 if connection.vendor == "sqlite" else 5):
        client.get(PAGE)


def test_relative_times_use_one_unit() -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    texts = {
        -5: "now",
        0: "now",
        1: "1 s ago",
        59: "59 s ago",
        60: "1 min ago",
        3599: "59 min ago",
        3600: "1 h ago",
        172_799: "47 h ago",
        172_800: "2 days ago",
    }
    for seconds, text in texts.items():
        age = render_age(now - timedelta(seconds=seconds), now)
        assert f">{text}</time>" in age
        assert 'datetime="2026-03-0' in age
