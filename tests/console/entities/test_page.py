"""The page of one entity: all of its events, found by index, for any id."""

import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.ui.links import entity_url
from sync.erasure.erase import run_erasure
from sync.models import Connection, Erasure, Link
from sync.replays.requests import request_replay
from tests.support.builders.erasure import confirmed_erasure, invented_person, receive_people
from tests.support.builders.history import NOON, a_delivery, a_route, a_source, an_event
from tests.support.database.query_plans import OPEN_ONLY, find_full_scans, recorded_statements
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.pages import on_one_line, text_of, visible_text
from tests.support.people import browser, person
from webhooks.models import Event, erased_entity_id, pseudonym

ODD = [
    "a/b?c&d=e#f",
    'é"<script>alert(1)</script> 🙂',
    "50%25+2 %2F",
    "~ not a pseudonym's shape; 1=1",
    "..",
    "x" * 128,
]


def read(client: Client, entity_id: str, **more: str) -> Any:
    answer = client.get(entity_url("USER", entity_id, **more))
    assert answer.status_code == 200, answer.content
    return answer


def events_of_all_pages(client: Client, entity_id: str) -> list[int]:
    """Return the events of all pages, by following the link to older ones."""
    found: list[int] = []
    address = entity_url("USER", entity_id)
    while address:
        answer = client.get(address)
        found += [item.row.pk for item in answer.context["page"].timeline]
        link = re.search(r'href="([^"]+)" rel="next"', answer.content.decode())
        address = unescape(link[1]) if link else ""
    return found


@pytest.mark.submission_rows(2)
@pytest.mark.django_db
@pytest.mark.parametrize("entity_id", ODD)
def test_an_entity_is_found_by_any_valid_id(entity_id: str) -> None:
    events = [an_event(number, entity_id=entity_id) for number in range(3)]
    an_event(61, entity_id=entity_id[:-1] + "!")
    client = browser("support")
    assert events_of_all_pages(client, entity_id) == [event.pk for event in events]
    text = read(client, entity_id).content.decode()
    assert "<script>alert" not in text
    link = re.search(r'href="([^"]+)">Show in the event list', text)
    assert link
    listed = client.get(unescape(link[1])).content.decode()
    assert len(set(re.findall(r"/admin/webhooks/event/(\d+)/change/", listed))) == 3


@pytest.mark.django_db
def test_events_that_wait_because_their_route_is_paused_are_on_hold() -> None:
    route = a_route(a_source())
    route.paused_at = timezone.now()
    route.pause_reason = "Maintenance of the shop"
    route.save()
    waiting = an_event(1, entity_id="U", state="pending")
    a_delivery(waiting, route=route, state="pending", due_at=None)
    a_delivery(
        an_event(2, entity_id="V", state="pending"), route=route, state="pending", due_at=timezone.now()
    )
    client = browser("support")
    page = text_of(read(client, "U"))
    # Among the open deliveries and in the timeline, as in the event list.
    assert page.count("On hold: source or route is paused") == 2
    assert "Queued" not in page
    assert "On hold" not in text_of(read(client, "V"))


@pytest.mark.django_db
def test_the_timeline_is_newest_first_and_pages_give_every_event_once_also_within_one_moment() -> None:
    events = [an_event(number // 40, entity_id="U", state="ignored", code="ignored") for number in range(130)]
    an_event(1, entity_id="U", entity_type="GROUP")
    an_event(1, entity_id="V")
    expected = [
        event.pk for event in sorted(events, key=lambda event: (event.received_at, event.pk), reverse=True)
    ]
    assert events_of_all_pages(browser("auditor"), "U") == expected


@pytest.mark.django_db
def test_two_identity_services_with_the_same_id_are_two_subjects() -> None:
    one, two = a_source("one"), a_source("two")
    route = a_route(one)
    other = Connection.objects.create(
        slug="other-id",
        name="Other ID",
        side="identity",
        connector="rest-identity",
        base_url="https://y.test",
    )
    a_route(two, identity=other)
    Link.objects.create(
        identity=other,
        target=route.target,
        entity_type="USER",
        entity_id="U",
        record_id="R-4711",
        version="v9",
        applied_at=NOON,
    )
    ours, theirs = an_event(0, entity_id="U", source=one), an_event(1, entity_id="U", source=two)
    client = browser("support")
    page = read(client, "U").context["page"]
    assert {service.identity.name: len(service.links) for service in page.identity_services} == {
        "Aurora ID": 0,
        "Other ID": 1,
    }
    assert [item.row.pk for item in page.timeline] == [ours.pk, theirs.pk]
    an_event(2, entity_id="ONLY-OURS", source=one)
    page = read(client, "ONLY-OURS").context["page"]
    assert [service.identity.name for service in page.identity_services] == ["Aurora ID"]
    narrowed = read(client, "U", identity=str(other.pk))
    assert [item.row.pk for item in narrowed.context["page"].timeline] == [theirs.pk]
    assert "R-4711" in narrowed.content.decode()


@pytest.mark.nightly
def test_an_erased_person_is_shown_by_pseudonym_and_cannot_be_replayed(hub: Hub) -> None:
    (erased_person,) = receive_people(hub, [invented_person(1)])
    assert run_erasure(confirmed_erasure(erased_person))
    source = Event.objects.latest("pk").source_id
    name = erased_entity_id(pseudonym(source, "USER", erased_person.entity_id))
    text = read(browser("support"), name).content.decode()
    assert "Replay newest" not in text
    assert erased_person.entity_id not in text
    plain = read(browser("support", "second"), erased_person.entity_id).content.decode()
    assert "No data found for" in plain
    assert name not in plain
    known = read(browser("administrator"), erased_person.entity_id).content.decode()
    assert "with this id was erased" in known
    assert name in unescape(re.search(r'href="([^"]*id=(?:~|%7E)[^"]*)"', known)[1]).replace("%7E", "~")  # type: ignore[index]
    ended = read(browser("administrator", "other"), Erasure.objects.get().entity_id).content.decode()
    assert "consent withdrawn" in ended


@pytest.mark.submission
@pytest.mark.django_db
def test_an_invalid_cursor_leads_to_the_newest_events() -> None:
    an_event(0, entity_id="U")
    client = browser("support")
    for place in ("x", "1-x", "-", "1", "9" * 40 + "-1", "1-1-1"):
        answer = client.get(entity_url("USER", "U", before=place), follow=True)
        assert "The position in this address is invalid" in answer.content.decode(), place
        assert len(answer.context["page"].timeline) == 1


@pytest.mark.django_db
def test_without_an_entity_the_search_box_is_shown() -> None:
    client, long = browser("support"), "?type=USER&id=" + "x" * 200
    for query in ("", "?id=", "?type=USER", "?id=a%00b&type=USER", long):
        assert client.get(f"/admin/webhooks/entity/{query}")["Location"] == "/admin/find/", query
    answer = client.get("/admin/webhooks/entity/?id=nobody")
    assert "No data found" in text_of(answer)


@pytest.mark.django_db
def test_an_id_without_a_type_leads_to_the_only_entity_or_to_a_choice() -> None:
    an_event(0, entity_id="U")
    client = browser("support")
    assert client.get("/admin/webhooks/entity/?id=U")["Location"] == entity_url("USER", "U")
    an_event(1, entity_id="U", entity_type="GROUP")
    text = text_of(client.get("/admin/webhooks/entity/?id=U"))
    assert "GROUP U" in text
    assert "USER U" in text


@pytest.mark.submission
@pytest.mark.django_db
def test_the_audit_log_is_narrowed_to_the_events_of_the_entity() -> None:
    client = browser("administrator", "auditing")
    event, other = an_event(0, entity_id="a/ü&b"), an_event(1, entity_id="V")
    for replayed in (event, other):
        a_delivery(replayed, a_route(replayed.source, entity_type=f"USER{replayed.pk}"))
        request_replay([replayed], by=person("support", f"p{replayed.pk}"), reason="again")
    link = re.search(
        r'href="([^"]+)">Audit log</a>',
        re.sub(r"(?s)<nav.*?</nav>", "", read(client, "a/ü&b").content.decode()),
    )
    assert link
    rows = client.get(unescape(link[1])).context["page"].rows
    streams = {event.stream, event.deliveries.get().stream}
    assert {row.entry.stream for row in rows} == streams


@pytest.mark.submission
@pytest.mark.django_db
def test_statements_are_bounded_and_none_reads_a_whole_table() -> None:
    route = a_route(a_source())
    client, costs = browser("administrator"), []
    for number in range(120):
        event = an_event(number, entity_id="U", state="retrying", code="target-unavailable")
        a_delivery(event, route, due_at=timezone.now())
        if number == 1:
            read(client, "U")  # The key of names is read once by each process.
        elif number in (2, 119):
            with CaptureQueriesContext(connection) as seen:
                read(client, "U")
            costs.append(len(seen))
    assert costs[0] == costs[1]
    assert costs[0] <= 23, costs
    with recorded_statements() as statements:
        read(client, "U")
    mine = [
        statement for statement in statements if re.search(r"webhooks_event|sync_(?!route)", statement.sql)
    ]
    assert len(mine) >= 7
    if connection.vendor == "postgresql":  # a small table is read whole because that is cheaper
        connection.cursor().execute("SET LOCAL enable_seqscan = off")
    whole = find_full_scans(connection, mine).items()
    assert [sql for sql, plan in whole if not any(name in "".join(plan) for name in OPEN_ONLY)] == []


@pytest.mark.submission
@pytest.mark.django_db
def test_the_page_counts_events_that_need_attention() -> None:
    client = browser("support")
    well = an_event(0, entity_id="U")
    text = visible_text(read(client, "U"))
    assert "No failed or waiting events. Not compared yet." in text
    route = a_route(well.source)
    waits = an_event(1, entity_id="U", state="retrying", code="target-unavailable")
    a_delivery(waits, route, due_at=timezone.now())
    assert "1 delivery in progress." in read(client, "U").content.decode()
    for number, state, code in ((2, "dead", "target-rejected"), (3, "held", "held")):
        a_delivery(an_event(number, entity_id="U", state=state, code=code), route)
    an_event(4, entity_id="V", state="dead", code="target-rejected")
    text = text_of(read(client, "U"))
    assert "2 events need attention.</strong>" in text
    link = re.search(r'href="([^"]+)">Show events that need attention', text)
    assert link
    listed = client.get(unescape(link[1])).context["page"].rows
    assert [row.event.state for row in listed] == ["dead", "held"]


def test_the_page_says_who_it_is_what_changed_and_what_to_do(hub: Hub) -> None:
    """Holds the answer to a caller: the name for those who may see it, the fields of each event, one button a problem."""
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    hub.identity.directory.update_record("users", ANNA, {"locale": "sv"}, replaces=False)
    hub.post_signed(EXAMPLE, "second")
    hub.wait_until_quiet()
    hub.change_email("taken@example.com")
    hub.post_signed(EXAMPLE, "third")
    hub.wait_until_quiet()
    failed = Event.objects.latest("pk")
    assert failed.state == "dead"
    support, auditor = read(browser("support"), ANNA), read(browser("auditor"), ANNA)
    rows = support.context["page"].timeline
    assert [row.fields for row in rows][:2] == [("email",), ("language",)]
    assert "User updated" in visible_text(support)
    assert "<h1>Anna Aalto</h1>" in on_one_line(support.content.decode())
    assert "Aalto" not in auditor.content.decode()
    assert [row.fields for row in auditor.context["page"].timeline] == [row.fields for row in rows]
    assert [row.button.label for row in support.context["page"].open_problems] == ["Show the cause"]
    Event.objects.filter(pk=failed.pk).update(code="target-timeout")
    for role, label in (("support", "Replay…"), ("auditor", "Show the cause")):
        page = read(browser(role, f"another {role}"), ANNA)
        assert [row.button.label for row in page.context["page"].open_problems] == [label]
        assert f">{label}</a>" in page.content.decode()
    assert len(page.context["page"].requests) == 3
    request_replay([failed], by=person("support", "saara"), reason="again")
    assert [row.row.reason for row in read(browser("support", "last"), ANNA).context["page"].replays] == [
        "again"
    ]
