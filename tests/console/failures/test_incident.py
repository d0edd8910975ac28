"""The page of a failure group as that of an incident: since when, who is affected, what was changed before, the ticket.

Holds what no other test does: the figures of the page are those of the open failures, and bounded.
"""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from console.failures import incident
from sync.models import Alarm, Delivery, FailureGroup
from sync.operations.failure_groups import refresh_failure_groups
from tests.support.builders.history import a_delivery, an_event, logged_in
from tests.support.builders.overviews import a_failed_delivery
from tests.support.pages import text_of, without_tags
from tests.support.people import person

pytestmark = pytest.mark.django_db
LIST = "/admin/sync/failuregroup/"


@pytest.fixture
def group() -> FailureGroup:
    """Return a group of four failures of three people within the last hour."""
    for number in (1, 2, 30, 50):
        a_failed_delivery(number)
    Delivery.objects.filter(entity_id="USR-50").update(entity_id="USR-1")
    refresh_failure_groups()
    return FailureGroup.objects.get()


def shown(group: FailureGroup) -> str:
    return without_tags(text_of(logged_in("support").get(f"{LIST}{group.pk}/change/")))


def test_an_incident_shows_its_trend_and_who_is_affected(group: FailureGroup) -> None:
    answer = logged_in("support").get(f"{LIST}{group.pk}/change/")
    page = without_tags(text_of(answer))
    assert "Who is affected 3 USER" in page
    assert "one bar is 5 min" in page
    bars = answer.context["incident"].chart.bars
    assert sum(bar.hour.failed for bar in bars) == 4
    assert 10 <= len(bars) <= incident.MAX_BARS
    assert re.search(r"USR-1 2 User updated .* USR-2 1 ", page), "the newest first, each person once"


def test_all_pages_say_the_same_number_of_open_failures(group: FailureGroup) -> None:
    """And so does the title, with what is held and the active alarms."""
    route = Delivery.objects.earliest("pk").route
    a_delivery(an_event(900, state="held", code="held"), route)
    now = timezone.now()
    Alarm.objects.create(kind="deliveries-late", began_at=now, raised_at=now)
    snoozed = now + timedelta(hours=1)
    Alarm.objects.create(kind="audit-late", began_at=now, raised_at=now, snoozed_until=snoozed)
    a_failed_delivery(90, "unmappable")
    refresh_failure_groups()
    FailureGroup.objects.filter(code="unmappable").update(state="ignored")
    support = logged_in("support")
    pages = {path: text_of(support.get(path)) for path in ("/admin/", LIST, f"{LIST}{group.pk}/change/")}
    for page in pages.values():
        assert '<span class="badge" title="Open failures">4</span>' in page
        assert '<span class="badge" title="Held for approval">1</span>' in page
        assert '<span class="badge" title="Active alarms">1</span>' in page
        assert "<title>(6) " in page
    assert "4 open" in pages["/admin/"]
    assert 'Open<span class="count">4</span>' in pages[LIST]
    assert "4 failed deliveries need attention." in pages[f"{LIST}{group.pk}/change/"]


@pytest.mark.submission
def test_an_incident_reads_a_bounded_number_of_failures(
    group: FailureGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incident, "MAX_READ", 2)
    monkeypatch.setattr(incident, "MAX_ENTITIES", 1)
    page = shown(group)
    assert "at least 2 USER" in page
    assert "the newest" in page
    assert "The 1 that failed last." in page
    assert "4 failed deliveries need attention." in page, "the count of all is that of the list"


def test_an_incident_names_the_newest_change_before_its_first_failure(group: FailureGroup) -> None:
    first = Delivery.objects.earliest("settled_at")
    assert "none in the 7 days before the first open failure" in shown(group)
    maija = person("administrator", "maija")
    _log(maija, first.route.mapping.stream, "mapping.activated", 600, {"after": {"version": 3}})
    _log(maija, f"setting:connection:{first.target_id}", "connection.changed", 3_000, {})
    _log(maija, f"setting:connection:{first.target_id}", "connection.tested", 300, {})
    _log(maija, first.route.mapping.stream, "mapping.activated", -60, {"after": {"version": 4}})
    page = shown(group)
    assert "maija activated a version of a mapping: Person to customer (version 3) 10 min before" in page


def _log(by: User, stream: str, action: str, seconds: int, details: dict[str, object]) -> None:
    """Append an entry so many seconds before the first failure."""
    first = Delivery.objects.earliest("settled_at").settled_at
    assert first is not None
    at = first.fromtimestamp(first.timestamp() - seconds, first.tzinfo)
    with transaction.atomic():
        append_entries(NewEntry(stream, action, f"person:{by.pk}", details), at=at)


@pytest.mark.parametrize(
    ("address", "refusal"),
    [
        ("https://tickets.example.com/4711", ""),
        ("javascript:alert(1)", "Enter the complete address of a web page."),
        ("tickets.example.com/4711", "Enter the complete address of a web page."),
        ("https://maija:secret@tickets.example.com/", "without a user name and password"),
    ],
)
def test_only_the_address_of_a_web_page_is_the_ticket(
    group: FailureGroup, address: str, refusal: str
) -> None:
    support = logged_in("support")
    answer = support.post(f"{LIST}{group.pk}/note/", {"ticket_url": address}, follow=True)
    page = text_of(answer)
    link = f'<a href="{address}" rel="noopener noreferrer">{address}</a>'
    assert (link in page) is not bool(refusal)
    assert refusal in page
    group.refresh_from_db()
    assert group.ticket_url == ("" if refusal else address)
