"""Requests on a source's page: counts of the last 24 hours by result, and the newest ones."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.utils import timezone

from console.requests import source_summary
from console.requests.results import RESULT_NAMES
from tests.support.builders.history import a_receipt, a_source, an_event, logged_in
from tests.support.builders.refusals import a_refusal
from webhooks.models import Source

pytestmark = pytest.mark.django_db


@pytest.fixture
def source() -> Source:
    """A source with requests of the last hours, and some of yesterday and of another source."""
    source, now = a_source(), timezone.now()
    for hours in (1, 2, 30):
        at = now - timedelta(hours=hours)
        event = an_event(hours, source=source, received_at=at)
        a_receipt(event, received_at=at)
    a_receipt(event, received_at=now, is_repeat=True)
    a_receipt(None, received_at=now, code="not-json", status=400)
    a_refusal(at=now, times=7)
    a_refusal(at=now, times=4, reason="old-timestamp")
    a_refusal("too-large", at=now, times=2)
    a_refusal(at=now - timedelta(hours=30), times=100)
    a_refusal(slug="other", at=now, times=1_000)
    return source


def page(source: Source, *roles: str) -> str:
    return logged_in(*roles).get(f"/admin/webhooks/source/{source.pk}/change/").content.decode()


def test_counts_of_a_day_by_result_link_to_the_filtered_list(source: Source) -> None:
    links = re.findall(r'<dd><a href="([^"]*)" aria-label="([^"]*): ([^"]*)"', page(source, "support"))
    assert {name: number for _, name, number in links} == {
        "Accepted": "2",
        "Duplicate": "1",
        "Unusable": "1",
        "Not verified": "11",
        "Over the request limit": "0",
        "Refused for another reason": "2",
        "Handshake": "0",
    }
    assert [name for _, name, _ in links] == [str(name) for name in RESULT_NAMES.values()]
    support = logged_in("support")
    for link, name, number in links:
        listed = support.get(unescape(link)).context["page"].rows
        assert sum(row.times for row in listed) == int(number), name


def test_a_large_count_is_bounded(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_summary, "COUNT_LIMIT", 1)
    assert 'aria-label="Accepted: 1+"' in page(source, "support")
