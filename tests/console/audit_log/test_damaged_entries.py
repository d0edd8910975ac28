"""A page that reads the audit log shows an entry with a damaged column, with what is stored there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry
from console.ui.keyset import PAGE_SIZE
from sync.monitoring.health_figures import _count_break_glass_uses
from tests.support.audit.triggers import disable_triggers
from tests.support.hub import EXAMPLE, Hub
from tests.support.pages import visible_text
from tests.support.people import browser
from webhooks.models import Event

pytestmark = pytest.mark.usefixtures("database")

LIST = "/admin/audit/entry/"
is_sqlite = connection.vendor == "sqlite"
TIMES = (
    ["'moonday'", "'2026-13-01 00:00:00'", "5", "'0001-01-01 00:00:00+23:00'", "CAST(x'ff' AS TEXT)"]
    if is_sqlite
    else ["'infinity'", "'-infinity'", "'0044-03-15 12:00:00+00 BC'"]
)
DETAILS = ["'moonday'", "'[]'", '\'{"context": 5, "changed": 3, "fields": "x", "reason": {}}\'', "''"]
if is_sqlite:
    DETAILS += ["x'00ff'", "CAST(x'ff' AS TEXT)"]
OTHERS = ["stream_seq = 'x'", "actor = x'00'", "prev_leaf = 'x'"] if is_sqlite else []
DAMAGE = [f"at = {value}" for value in TIMES] + [f"details = {value}" for value in DETAILS] + OTHERS


def append_now(*entries: NewEntry) -> None:
    with transaction.atomic():
        append_entries(*entries)


def damage_entries(change: str, condition: str = "TRUE") -> None:
    with transaction.atomic():
        disable_triggers()
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE audit_entry SET {change} WHERE {condition}")


@pytest.fixture
def target() -> Entry:
    """Return the middle one of three entries of a setting."""
    stream = "setting:source:7"
    for _ in range(3):
        append_now(NewEntry(stream, "source.changed", details={"code": "held"}))
    return Entry.objects.get(stream=stream, stream_seq=2)


@contextmanager
def damaged(change: str, condition: str) -> Iterator[None]:
    """Damage rows for as long as the block."""
    with transaction.atomic():
        damage_entries(change, condition)
        yield
        transaction.set_rollback(True)


@pytest.mark.submission
def test_the_list_the_page_and_the_download_show_a_damaged_entry(target: Entry) -> None:
    client, address = browser("auditor"), f"/admin/audit/entry/{target.pk}/change/"
    other = Entry.objects.get(stream=target.stream, stream_seq=3)
    for damage in DAMAGE:
        with damaged(damage, f"id = {target.pk}"):
            assert address in client.get(LIST).content.decode()
            for query in ("?order=oldest", "?q=setting:source:7"):
                assert client.get(f"{LIST}{query}").status_code == 200, query
            page = client.get(address)
            assert page.status_code == 200
            assert ("Damaged: " in page.content.decode()) is ("context" not in damage)
            page = client.get(f"/admin/audit/entry/{other.pk}/change/")
            assert page.status_code == 200
            assert "Damaged: " not in page.content.decode()
            answer = client.get(f"{LIST}download/jsonl")
            content = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
            assert target.pk in [json.loads(line)["id"] for line in content.splitlines()]


@pytest.mark.parametrize("column", ["at", "details"])
@pytest.mark.only_sqlite  # PostgreSQL stores only times in a column of times
def test_the_stored_text_of_a_damaged_column_is_shown(target: Entry, column: str) -> None:
    damage_entries(f"{column} = 'moonday'", f"id = {target.pk}")
    client = browser("auditor")
    assert f"{column}: moonday" in visible_text(client.get(LIST))
    text = visible_text(client.get(f"/admin/audit/entry/{target.pk}/change/"))
    assert f"Damaged: {column}" in text
    assert "moonday" in text


@pytest.mark.submission
@pytest.mark.parametrize("damage", [f"at = {TIMES[1]}", f"at = {TIMES[-1]}", "details = 'x'"])
def test_every_page_about_events_is_shown_with_damaged_entries(hub: Hub, damage: str) -> None:
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    damage_entries(damage)
    event = Event.objects.get()
    client = browser("administrator")
    for address in (
        "/admin/",
        f"/admin/webhooks/event/{event.pk}/change/",
        "/admin/webhooks/event/",
        "/admin/audit/entry/",
        "/admin/audit/entry/standing/",
        "/admin/sync/failuregroup/",
        "/admin/exports/export/",
    ):
        assert client.get(address, follow=True).status_code == 200, address


@pytest.mark.submission
@pytest.mark.parametrize(
    "time", [TIMES[0], *(pytest.param(time, marks=pytest.mark.nightly) for time in TIMES[1:])]
)
def test_paging_continues_past_a_full_page_of_damaged_times(target: Entry, time: str) -> None:
    append_now(*(NewEntry(f"setting:source:{number}", "source.changed") for number in range(3 * PAGE_SIZE)))
    damage_entries(f"at = {time}", f"id BETWEEN {target.pk} AND {target.pk + PAGE_SIZE + 9}")
    entries = set(Entry.objects.filter(stream__startswith="setting:source").values_list("pk", flat=True))
    client = browser("auditor")
    for order in ("", "?order=oldest"):
        address, seen = order, set[int]()
        for _ in range(8):
            page = client.get(f"{LIST}{address}").context["page"]
            seen |= {row.entry.pk for row in page.rows}
            links = page.page_links
            if not (address := links.newer_url if order else links.older_url):
                break
        assert seen >= entries


def test_the_alarm_about_changed_logins_counts_a_damaged_time() -> None:
    append_now(NewEntry("person:1", "person.break-glass"), NewEntry("person:1", "person.break-glass"))
    now = timezone.now()
    first = "at = strftime('%Y-%m-%d', 'now', '+1 day') || ' 99:00:00'" if is_sqlite else "at = 'infinity'"
    damage_entries(first, "stream = 'person:1' AND stream_seq = 1")
    count, since = _count_break_glass_uses(now)
    assert count == 2
    assert since is not None
    assert since <= now + timedelta(seconds=5)
