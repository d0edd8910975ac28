"""The pages of the audit log, and the entries about the actions of staff."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.format.id_ranges import pack_ids
from audit.models import Entry, Segment, Verification
from console.audit_log import entry_filter, list_page
from console.audit_log.entry_page import find_sealing_segment
from database.clock import read_clock
from logins.attempt_counts import count_failures, report_past_hours
from sync.housekeeping.audit_upkeep import NIGHTLY_CHECK, seal_audit
from sync.models import PeriodicTask, PersonRequest
from tests.support.builders.history import a_replay, an_event
from tests.support.builders.settings_rows import connection as connection_of_shop
from tests.support.builders.settings_rows import connection_form
from tests.support.pages import visible_text
from tests.support.people import browser, entries, event, person, save, source

pytestmark = pytest.mark.django_db

LIST = "/admin/audit/entry/"


def append_now(*happenings: NewEntry) -> None:
    with transaction.atomic():
        append_entries(*happenings)


def test_the_list_shows_actor_action_and_object() -> None:
    anna = person("support", "anna")
    audited_event = event(source())
    append_now(
        NewEntry(audited_event.stream, "event.replayed", f"person:{anna.pk}", {"code": "target-rejected"}),
        NewEntry("system", "moon.was-full"),
    )
    page = browser("auditor").get(LIST).content.decode()
    assert "anna" in page
    assert "(target-rejected)" in page
    assert f'href="/admin/webhooks/event/{audited_event.pk}/change/"' in page
    assert "moon was full" in page, "an action without a text is shown by its code"


@pytest.mark.submission
def test_the_list_takes_the_same_number_of_statements_for_any_number_of_rows() -> None:
    of = source()
    people = [User.objects.create_user(f"user{number}") for number in range(50)]
    kept = str(a_replay(people[0]).uuid)
    append_now(
        *(
            NewEntry(event(of).stream, "event.replayed", f"person:{person.pk}", {"person_request": kept})
            for person in people
        ),
        NewEntry(f"setting:source:{of.pk}", "source.changed", f"person:{people[0].pk}"),
    )
    client = browser("auditor")
    with CaptureQueriesContext(connection) as queries:
        assert len(client.get(LIST).context["page"].rows) == 50
    assert len(queries) <= 10, [query["sql"][:80] for query in queries]
    with CaptureQueriesContext(connection) as queries:
        [row] = client.get(f"{LIST}?q=setting:source:{of.pk}").context["page"].rows
    assert row.entry.action == "source.changed"
    # An object is no event: none is looked for.
    assert not [query["sql"] for query in queries if 'FROM "webhooks_event"' in query["sql"]]
    assert len(queries) <= 10, [query["sql"][:80] for query in queries]


def test_a_filter_or_a_search_shows_exactly_the_matching_entries() -> None:
    client = browser("auditor")
    append_now(
        NewEntry("event:x", "event.replayed", "person:999999"),
        NewEntry("event:x", "webhook.received", "source:crm"),
        NewEntry("system", "settings.seeded"),
    )
    queries = {
        "action=event.replayed": ["event.replayed"],
        "action=nothing-known": [],
        "who=source": ["webhook.received"],
        "who=system": ["settings.seeded"],
        "q=system": ["settings.seeded"],
        "q=syst": [],
        "when=1&who=person": ["event.replayed"],
        "when_from=2999-01-01": [],
        "who=person:999999": ["event.replayed"],
        "object=event": ["webhook.received", "event.replayed"],
        "object=person&action=event.replayed": [],
        "action=replays": ["event.replayed"],
        "action=replays&who=system": [],
        "action=replays&q=entity:USER:NOBODY": [],
    }
    for query, shown in queries.items():
        page = client.get(f"{LIST}?{query}")
        rows = page.context["page"].rows
        actions = [row.entry.action for row in rows if row.entry.action != "person.logged-in"]
        assert actions == shown, query
        is_search_without_result = "q=" in query and not shown
        assert ("Nothing found for" in visible_text(page)) is is_search_without_result, query


def test_a_check_is_requested_on_the_page_once_in_a_few_minutes() -> None:
    client = browser("auditor")
    page = f"{LIST}standing/"
    assert f'action="{page}verify/"' in client.get(page).content.decode()
    tonight = timezone.now() + timedelta(hours=3)
    PeriodicTask.objects.create(name=NIGHTLY_CHECK, due_at=tonight)
    for answered in ("A worker verifies the log now.", "or was a few minutes ago"):
        assert answered in client.post(f"{page}verify/", follow=True).content.decode()
    assert len(entries("audit.check-requested")) == 1
    assert PeriodicTask.objects.get(name=NIGHTLY_CHECK).due_at <= read_clock(), "a worker begins it"
    assert not Verification.objects.exists(), "the page does not wait for it"


def test_one_replay_is_one_row_of_replays_and_seen_values_are_reveals() -> None:
    append_now(
        NewEntry("person-request:x", "replay.started", "person:999999", {"of": 520, "address": "192.0.2.5"}),
        *(NewEntry("event:x", "event.replayed", "person:999999", {"of": 520}) for _ in range(3)),
        NewEntry("event:y", "event.replayed", "person:999999", {"of": 1, "address": "192.0.2.5"}),
        NewEntry("person-request:x", "replay.paused"),
        NewEntry("person-request:x", "replay.finished"),
        NewEntry("event:y", "preview.revealed", "person:999999"),
        NewEntry("event:y", "preview.begun", "person:999999"),
    )
    client = browser("auditor")
    for view, shown in {
        "replays": [("event.replayed", "event:y"), ("replay.started", "person-request:x")],
        "reveals": [("preview.revealed", "event:y")],
    }.items():
        rows = [row.entry for row in client.get(f"{LIST}?action={view}").context["page"].rows]
        assert sorted((entry.action, entry.stream) for entry in rows) == shown
    downloaded = list_page.listed_entries(QueryDict("action=replays"))
    assert sorted(entry.stream for entry in downloaded) == ["event:y", "person-request:x"]


@pytest.mark.submission
def test_the_search_finds_entries_by_whatever_the_event_list_finds_events_by() -> None:
    audited = an_event(1, entity_id="USR-1", event_id="msg-1")
    append_now(
        NewEntry(audited.stream, "webhook.received", "source:crm"),
        NewEntry(an_event(2, entity_id="USR-2").stream, "webhook.received", "source:crm"),
    )
    client = browser("auditor")
    for term in (
        "USR-1",
        "msg-1",
        audited.reference.lower(),
        f"https://hub.example.com/admin/webhooks/event/{audited.pk}/change/",
    ):
        page = client.get(LIST, {"q": term}).context["page"]
        assert [row.entry.stream for row in page.rows] == [audited.stream], term
        assert page.search_note == ""


def test_a_search_that_finds_too_many_events_says_so_and_gives_no_incomplete_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(entry_filter, "MAX_EVENTS", 2)
    monkeypatch.setattr(list_page, "MAX_EVENTS", 2)
    for number in range(3):
        append_now(NewEntry(an_event(number, entity_id="USR-1").stream, "webhook.received", "source:crm"))
    an_event(4, entity_id="USR-2")
    client = browser("auditor")
    for term in ("USR-1", "entity:USER:USR-1"):
        page = client.get(LIST, {"q": term})
        assert len(page.context["page"].rows) == 2
        assert "/download/" not in page.content.decode()
        assert client.get(f"{LIST}download/csv", {"q": term}).status_code == 400
    assert client.get(f"{LIST}download/csv", {"q": "USR-2"}).status_code == 200


def test_an_entry_is_shown_completely_escaped_and_read_only() -> None:
    append_now(NewEntry("system", "settings.seeded", details={"note": "<script>alert(1)</script>"}))
    entry = Entry.objects.get(action="settings.seeded")
    client = browser()
    page = client.get(f"{LIST}{entry.pk}/change/").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert client.post(f"{LIST}{entry.pk}/change/", {"action": "x"}).status_code == 405
    assert client.post(f"{LIST}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"{LIST}add/").status_code == 403


@pytest.mark.submission
def test_an_entry_shows_its_details_as_text() -> None:
    client = browser("auditor")
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"is_good": True, "steps": {"name": "name-known", "transport": "transport-plain"}},
            "yes Steps Name (DNS): known",
        ),
        ({"code": "succeeded", "state": "dead", "was": "held"}, "Status after Failed Status before Held"),
        ({"filter": {"state": "dead"}, "of": 1200}, "Status: Failed Out of 1,200"),
        ({"until": "2026-03-01T10:00:00+00:00"}, "2026-03-01 10:00:00 UTC"),
        ({"fields": [], "odd_one": None}, "Fields none Odd one –"),
        ({"ground": "consent-withdrawn"}, "Legal ground The person withdrew consent"),
        ({"ground": "in other words", "steps": 3}, "Legal ground in other words Steps 3"),
    ]
    for details, said in cases:
        append_now(NewEntry("system", "settings.seeded", details={**details, "attempt": "an-internal-key"}))
        page = client.get(f"{LIST}{Entry.objects.latest('pk').pk}/change/").content.decode()
        texts, recorded = re.sub(r"<[^>]+>", " ", page).split("As recorded")
        assert said in " ".join(texts.split())
        assert "an-internal-key" not in texts
        assert "an-internal-key" in recorded


def test_an_entry_shows_its_segment() -> None:
    client = browser("auditor")
    append_now(NewEntry("system", "settings.seeded"))
    entry = Entry.objects.get(action="settings.seeded")
    page = f"{LIST}{entry.pk}/change/"
    assert client.get(page).context["sealed"] is None
    seal_audit()
    segment = Segment.objects.latest("number")
    assert client.get(page).context["sealed"] == (segment.number, segment.sealed_at)
    append_now(NewEntry("system", "signing-key.begun"))
    assert client.get(page.replace(str(entry.pk), str(entry.pk + 1))).context["sealed"] is None


def test_the_segment_of_an_entry_before_a_long_silence_is_found() -> None:
    """Each minute of silence is a segment with the same highest id, stored before the one to find."""
    append_now(NewEntry("system", "settings.seeded"))
    entry = Entry.objects.latest("pk")

    def segment(number: int, *ids: int) -> Segment:
        names = ("prev_hash", "leaves", "root", "signature", "hash", "nodes")
        values = dict.fromkeys(names, b"") | {"number": number, "count": len(ids), "ids": pack_ids(ids)}
        return Segment(highest_id=entry.pk, sealed_at=timezone.now(), key_id="key", **values)

    Segment.objects.bulk_create(segment(number) for number in range(1001, 1201))
    segment(1000, entry.pk).save(force_insert=True)
    found = find_sealing_segment(entry)
    assert found is not None
    assert found.number == 1000


def test_the_reason_comes_from_the_entry_or_from_the_object_of_the_request() -> None:
    anna = person("support", "anna")
    replay, of = a_replay(anna), source()
    append_now(
        NewEntry("event:x", "event.replayed", f"person:{anna.pk}", {"person_request": str(replay.uuid)}),
        NewEntry(f"setting:source:{of.pk}", "source.paused", f"person:{anna.pk}", {"reason": "<b>noise</b>"}),
        NewEntry("person-request:nonsense", "replay.started", f"person:{anna.pk}"),
    )
    client = browser("auditor")
    rows = {row.entry.action: row for row in client.get(LIST).context["page"].rows}
    assert rows["event.replayed"].reason == "the shop was down"
    assert rows["source.paused"].reason == "<b>noise</b>"
    assert rows["source.paused"].object_text == "source Crm"
    assert rows["replay.started"].reason == ""
    assert "<b>noise" not in client.get(LIST).content.decode()
    PersonRequest.objects.update(reason="")
    assert {row.reason for row in client.get(LIST).context["page"].rows} == {"", "<b>noise</b>"}


def test_a_row_shows_role_and_session() -> None:
    client = browser("auditor", "eva")
    client.get("/admin/audit/entry/download/csv").getvalue()
    row = client.get(LIST).context["page"].rows[0]
    assert (row.actor, row.roles, row.action_text) == ("eva", "auditor", "finished a download")
    assert f"127.0.0.1 session {row.session[:6]}" in visible_text(client.get(LIST))


@pytest.mark.submission
def test_a_view_lists_its_actions_newest_first_page_by_page() -> None:
    client, found = browser("auditor"), {"export.requested", "download.refused", "replay.downloaded"}
    append_now(NewEntry("system", "settings.seeded"))
    for number in range(30):
        append_now(*(NewEntry(f"export:{number}", action, "person:1") for action in sorted(found)))
    page = client.get(LIST).context["page"]
    (tab,) = [tab for tab in page.tabs if tab.name == "Exports"]
    seen, address = [], tab.query
    while address:
        page = client.get(LIST + address).context["page"]
        assert next(tab.name for tab in page.tabs if tab.is_current) == "Exports"
        seen += [row.entry for row in page.rows]
        address = page.page_links.older_url
    assert {entry.action for entry in seen} == found
    assert len(seen) == 30 * len(found)
    assert seen == sorted(seen, key=lambda entry: (entry.at, entry.pk), reverse=True)


@pytest.mark.submission
def test_the_page_of_an_entry_shows_values_request_and_related_entries() -> None:
    client = browser("administrator", "anna")
    of = connection_of_shop()
    save(client, f"/admin/sync/connection/{of.pk}/change/", connection_form(of, name="Other"), "it moved")
    append_now(
        NewEntry(of_stream := f"setting:connection:{of.pk}", "connection.paused", details={"failures": 5})
    )
    entry = Entry.objects.get(action="connection.changed")
    page = client.get(f"{LIST}{entry.pk}/change/").context["page"]
    assert [(line.label, line.before, line.after) for line in page.changes] == [
        ("Name", "Aurora ID", "Other")
    ]
    assert (page.row.reason, page.row.roles, page.row.object_text) == (
        "it moved",
        "administrator",
        "connection Other",
    )
    assert len(page.row.request) == 36
    assert [row.entry.action for row in page.of_object] == ["connection.paused"]
    assert page.of_request == []
    paused = client.get(f"{LIST}{Entry.objects.get(stream=of_stream, action='connection.paused').pk}/change/")
    assert paused.context["page"].facts == [("Consecutive failures", "5")]
    assert [row.entry.action for row in paused.context["page"].of_object] == ["connection.changed"]


def test_the_page_of_an_entry_lists_other_entries_of_its_request() -> None:
    client = browser("auditor", "eva")
    for _ in range(2):
        client.get("/admin/audit/entry/download/csv").getvalue()
    first = Entry.objects.filter(action="download.started").earliest("id")
    page = client.get(f"{LIST}{first.pk}/change/").context["page"]
    assert [row.entry.action for row in page.of_request] == ["download.finished"]
    assert page.of_request[0].request == page.row.request


@pytest.mark.submission
def test_the_list_sums_failed_logins_up_by_account_and_address() -> None:
    anna = person("support", "anna")
    count_failures(anna.pk, "192.0.2.7", wrong=10, refused=990)
    count_failures(0, "192.0.2.8", wrong=1)
    client = browser("auditor", "eva")
    page = client.get(LIST).content.decode()
    assert "1001 " in page
    table = page.partition('id="failed-logins"')[2].partition("</table>")[0]
    assert [row.partition("</tr>")[0].count("<td") for row in table.split("<tr>")[2:]] == [6, 6]
    assert table.index("anna") < table.index("unknown usernames")
    assert "failed-logins" not in client.get(f"{LIST}?action=exports").content.decode()
    report_past_hours(timezone.now() + timedelta(hours=2))
    assert "(1000)" in client.get(LIST).content.decode()


def test_login_failed_login_and_logout_are_recorded_without_the_typed_name() -> None:
    User.objects.create_user("anna", password="correct horse battery", is_staff=True)
    client = Client()
    client.post(
        "/admin/login/", {"username": "hunter2-as-name", "password": "wrong"}, REMOTE_ADDR="192.0.2.7"
    )
    client.post("/admin/login/", {"username": "anna", "password": "correct horse battery"})
    client.post("/admin/logout/")
    assert [entry["details"] for entry in entries("person.login-failed")] == [{"address": "192.0.2.7"}]
    anna = User.objects.get()
    assert [entry["actor"] for entry in entries("person.logged-in")] == [f"person:{anna.pk}"]
    assert [entry["actor"] for entry in entries("person.logged-out")] == [f"person:{anna.pk}"]
    assert not Entry.objects.filter(details__contains="hunter2").exists()


def test_a_change_of_ones_own_password_is_recorded_and_a_refused_one_is_not() -> None:
    anna = User.objects.create_user("anna", password="correct horse battery", is_staff=True)
    client = Client()
    client.force_login(anna)
    new = {
        "old_password": "wrong",
        "new_password1": "a staple that is new",
        "new_password2": "a staple that is new",
    }
    client.post("/admin/password_change/", new)
    assert not entries("person.password-changed")
    client.post("/admin/password_change/", new | {"old_password": "correct horse battery"})
    assert [entry["stream"] for entry in entries("person.password-changed")] == [f"person:{anna.pk}"]


def test_a_new_password_of_another_person_is_recorded_with_the_person_who_set_it() -> None:
    anna = person("support", "anna")
    client = browser()
    new = {
        "password1": "a staple that is new",
        "password2": "a staple that is new",
        "usable_password": "true",
    }
    assert client.post(f"/admin/auth/user/{anna.pk}/password/", new).status_code == 302
    (entry,) = entries("person.password-changed")
    assert entry["stream"] == f"person:{anna.pk}"
    assert entry["actor"] == f"person:{User.objects.get(username='root').pk}"


def test_a_change_of_a_login_names_its_groups_but_no_personal_value() -> None:
    anna = person("support", "anna")
    auditor = Group.objects.get(name="auditor")
    form = {
        "username": "anna",
        "email": "secret-address@example.com",
        "groups": [auditor.pk],
        "is_active": "on",
        "is_staff": "on",
    }
    answer = browser().post(f"/admin/auth/user/{anna.pk}/change/", form)
    assert answer.status_code == 302, answer.context["errors"]
    (entry,) = entries("person.changed")
    assert entry["stream"] == f"person:{anna.pk}"
    assert entry["details"]["after"]["groups"] == [auditor.pk]
    assert entry["details"]["changed"] == ["email"]
    assert "secret-address" not in json.dumps(entry)


def test_a_new_right_of_a_role_is_recorded_with_before_and_after() -> None:
    role = Group.objects.create(name="interns")
    right = Group.objects.get(name="support").permissions.first()
    assert right is not None
    browser().post(f"/admin/auth/group/{role.pk}/change/", {"name": "interns", "permissions": [right.pk]})
    (entry,) = entries("group.changed")
    assert entry["stream"] == f"setting:group:{role.pk}"
    assert entry["details"]["before"] == {"permissions": []}
    assert entry["details"]["after"] == {"permissions": [right.pk]}
