"""A bulk replay: from a filter to a frozen set, its confirmation page and its progress page."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console.models import Preference
from sync.models import Attempt, PersonRequest, PersonRequestMember, PersonRequestState, ReplayPace
from sync.replays import batches, event_selection
from tests.support.builders.bulk_replays import fail_customers, member_states, work_replay
from tests.support.builders.history import a_delivery, a_route, a_source, an_event, logged_in
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from tests.support.pages import text_of
from tests.support.people import entries, person
from webhooks.models import Event

LIST = "/admin/webhooks/event/"
NEW = f"{LIST}replay/new/"
TERMS = {"reason": "the shop refused everybody", "pace": "normal", "pauses": "on"}


@pytest.fixture
def raise_replay_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "EVENTS_PER_MINUTE", dict.fromkeys(ReplayPace, 60_000))


def freeze_set(client: Client, **words: str) -> str:
    """Freeze the set of a filter. Returns the address of the confirmation page."""
    answer = client.post(NEW, words or {"state": "dead"})
    assert answer.status_code == 302
    assert "/confirm/" in answer["Location"]
    return str(answer["Location"])


def dead(count: int, **values: Any) -> None:
    route = a_route(a_source())
    for number in range(count):
        a_delivery(an_event(number, state="dead", code="target-rejected", **values), route)


@pytest.mark.submission
def test_many_events_are_replayed_from_the_filter_to_the_end(hub: Hub, raise_replay_pace: None) -> None:
    fail_customers(hub, 6)
    hub.change_email("taken@example.com", "PERSON5")
    support = logged_in("support")
    assert "6 events match now." in text_of(support.get(f"{NEW}?state=dead"))
    path = freeze_set(support)
    page = text_of(support.get(path))
    assert "<h1>Replay 6 events</h1>" in page
    assert page.count("The shop rejected the change") == 5, "examples"
    answer = support.post(path, TERMS, follow=True)
    replay = PersonRequest.objects.get()
    assert answer.request["PATH_INFO"] == f"/admin/sync/personrequest/{replay.pk}/change/"
    assert "Running" in text_of(answer)
    work_replay(replay, PersonRequestState.FINISHED)
    page = support.get(answer.request["PATH_INFO"])
    assert "5 succeeded" in text_of(page)
    assert "1 failed again" in text_of(page)
    assert "data-poll=" not in text_of(page)
    failed = text_of(support.get(f"/admin/sync/personrequest/{replay.uuid}/events/?member=failed"))
    assert "PERSON5" in failed
    assert "PERSON1" not in failed


@pytest.mark.submission
def test_events_that_failed_again_are_replayed_from_the_page_of_the_replay(
    hub: Hub, raise_replay_pace: None
) -> None:
    fail_customers(hub, 5)
    hub.change_email("taken@example.com", "PERSON4")
    support = logged_in("support")
    support.post(freeze_set(support), TERMS)
    first = work_replay(PersonRequest.objects.get())
    hub.change_email("free@example.com", "PERSON4")
    answer = support.post(f"/admin/sync/personrequest/{first.uuid}/again/")
    support.post(answer["Location"], TERMS)
    second = work_replay(PersonRequest.objects.latest("pk"))
    assert member_states(second) == {"PERSON4": "succeeded"}


def test_selected_events_and_all_matches_lead_to_the_same_page(db: None) -> None:
    dead(3)
    an_event(9)
    support = logged_in("support")
    ticked = [event.pk for event in Event.objects.filter(state="dead")[:2]]
    answer = support.post(LIST, {"action": "replay_selected", "_selected_action": ticked, "index": 0})
    assert "Replay 2 events" in text_of(support.get(answer["Location"]))
    everything = {"action": "replay_selected", "_selected_action": ticked[:1], "select_across": 1}
    answer = support.post(f"{LIST}?state=dead", everything)
    assert "Replay 3 events" in text_of(support.get(answer["Location"]))


def test_skipped_events_are_shown_with_their_reason(db: None) -> None:
    dead(3)
    an_event(9, state="dead", entity_type="DEVICE", entity_id="X1")
    support = logged_in("support")
    page = text_of(support.get(freeze_set(support)))
    assert "Replay 3 events" in page
    assert "no route for this event" in page
    [address] = re.findall(r'href="([^"]+why=unrouted)"', page)
    shown = text_of(support.get(address.replace("&amp;", "&")))
    assert "X1" in shown
    assert "USR-1" not in shown


def test_an_invalid_filter_freezes_no_set(db: None) -> None:
    support = logged_in("support")
    for answer in (support.get(f"{NEW}?received=0"), support.post(NEW, {"received": "0"})):
        assert answer["Location"] == LIST
    assert not PersonRequest.objects.exists()


@pytest.mark.submission
@pytest.mark.parametrize(
    ("zone", "word", "at"),
    [
        ("Pacific/Auckland", "received_to", "9999-12-31T23:59:59Z"),
        ("America/New_York", "received_from", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_outside_the_persons_zone_is_shown_unchanged(db: None, zone: str, word: str, at: str) -> None:
    dead(1)
    liisa, support = person("support"), Client()
    Preference.objects.create(person=liisa, time_zone=zone)
    support.force_login(liisa)
    assert at.removesuffix("Z") in text_of(support.get(f"{NEW}?{word}={at}"))
    support.post(freeze_set(support, **{word: at}), TERMS)
    assert at.removesuffix("Z") in text_of(support.get("/admin/sync/personrequest/"))


def test_a_relative_time_is_resolved_when_the_set_is_frozen(db: None) -> None:
    dead(1, received_at=timezone.now())
    support = logged_in("support")
    freeze_set(support, received="24")
    words = PersonRequest.objects.get().filter
    assert set(words) == {"received_from"}


@pytest.mark.submission
def test_a_reload_starts_nothing_twice(hub: Hub, raise_replay_pace: None) -> None:
    fail_customers(hub, 2)
    support = logged_in("support")
    path = freeze_set(support)
    support.post(path, TERMS)
    again = support.post(path, TERMS, follow=True)
    assert "Nothing was started twice" in text_of(again)
    assert "Nothing was started twice" in text_of(support.get(path, follow=True))
    work_replay(PersonRequest.objects.get())
    assert Attempt.objects.filter(cause="replay").count() == 2


@pytest.mark.submission
def test_a_selection_is_visible_only_to_its_person_until_it_is_started(db: None) -> None:
    dead(2)
    liisa, antti = logged_in("support"), logged_in("support")
    path = freeze_set(liisa)
    assert "selection has expired" in text_of(antti.get(path, follow=True))
    assert antti.get(path.replace("confirm", "events")).status_code == 404
    assert "sync/personrequest/1/" not in text_of(liisa.get("/admin/sync/personrequest/"))
    liisa.post(path, TERMS)
    assert antti.get(path.replace("confirm", "events")).status_code == 200


def test_above_the_limit_a_second_person_approves_on_the_page(db: None, settings: Any) -> None:
    settings.REPLAY_LIMIT = 2
    dead(3)
    liisa, antti, auditor = logged_in("support"), logged_in("support"), logged_in("auditor")
    path = freeze_set(liisa)
    page = liisa.post(path, TERMS, follow=True)
    assert "Waiting for approval" in text_of(page)
    replay = PersonRequest.objects.get()
    address = f"/admin/sync/personrequest/{replay.uuid}"
    assert "Approve: replay" not in text_of(page)
    assert "Withdraw" in text_of(page)
    liisa.post(f"{address}/approve/")
    assert "Approve: replay" not in text_of(auditor.get(page.request["PATH_INFO"]))
    assert auditor.post(f"{address}/approve/").status_code == 403
    assert PersonRequest.objects.get().state == PersonRequestState.AWAITING
    assert "Approve: replay 3 events" in text_of(antti.get(page.request["PATH_INFO"]))
    antti.post(f"{address}/approve/")
    replay.refresh_from_db()
    assert replay.state == PersonRequestState.RUNNING
    assert replay.decided_by != replay.requested_by
    assert len(entries("replay.approved")) == 1


def test_events_above_the_limit_are_replayed_in_parts(db: None, settings: Any) -> None:
    settings.REPLAY_LIMIT = 2
    dead(3)
    support = logged_in("support")
    path = freeze_set(support)
    assert (
        '<button class="button" type="submit" name="part" value="1">Replay the first 2 events</button>'
        in (text_of(support.get(path)))
    )
    page = support.post(path, {**TERMS, "part": "1"}, follow=True)
    replay = PersonRequest.objects.get()
    assert (replay.state, replay.waiting_count, replay.skipped) == (PersonRequestState.RUNNING, 2, 1)
    assert "that were not sent" not in text_of(page)
    address = f"/admin/sync/personrequest/{replay.uuid}"
    page = support.post(f"{address}/stop/", follow=True)
    PersonRequest.objects.update(state=PersonRequestState.STOPPED)
    assert "Replay 3 events that were not sent…" in text_of(support.get(page.request["PATH_INFO"]))
    rest = support.post(f"{address}/rest/")
    assert "Request approval for 3 events" in text_of(support.get(rest["Location"]))


def test_an_administrator_has_a_limit_of_their_own(db: None, settings: Any) -> None:
    settings.REPLAY_LIMIT, settings.REPLAY_LIMIT_ADMIN = 1, 3
    dead(3)
    administrator = logged_in("administrator")
    administrator.post(freeze_set(administrator), TERMS)
    assert PersonRequest.objects.get().state == PersonRequestState.RUNNING


@pytest.mark.submission
def test_pause_continue_and_stop_on_the_page(db: None) -> None:
    dead(3)
    support = logged_in("support")
    page = support.post(freeze_set(support), TERMS, follow=True)
    address = f"/admin/sync/personrequest/{PersonRequest.objects.get().uuid}"
    assert "Pause" in text_of(page)
    assert 'data-poll="2"' in text_of(page)
    paused = text_of(support.post(f"{address}/pause/", follow=True))
    assert "Paused by someone-" in paused
    assert 'data-poll="2"' not in paused
    support.post(f"{address}/continue/", {"pace": "gentle"})
    replay = PersonRequest.objects.get()
    assert (replay.state, replay.pace) == (PersonRequestState.RUNNING, "gentle")
    page = text_of(support.post(f"{address}/stop/", follow=True))
    assert "3 not sent" in page
    late = text_of(support.post(f"{address}/pause/", follow=True))
    assert "no longer possible" in late


def test_the_list_of_results_is_downloaded_with_permission_and_recorded(db: None) -> None:
    dead(3)
    Event.objects.filter(entity_id="USR-1").update(entity_id="=1+1")
    support, auditor = logged_in("support"), logged_in("auditor")
    support.post(freeze_set(support), TERMS)
    address = f"/admin/sync/personrequest/{PersonRequest.objects.get().uuid}/events/?format=csv"
    assert support.get(address).status_code == 403
    lines = b"".join(auditor.get(address).streaming_content).decode().splitlines()
    assert lines[0].startswith('"reference","source","event_type"')
    assert len(lines) == 4
    assert any(""","'=1+1","waiting",""" in line for line in lines)
    assert b"".join(auditor.get(address + "&member=skipped").streaming_content).count(b"\n") == 1
    downloads = [entry["details"] for entry in entries("replay.downloaded")]
    assert [(details["count"], details["of"]) for details in downloads] == [(3, 3), (0, 3)]


@pytest.mark.submission
def test_results_are_paged_by_a_cursor(db: None) -> None:
    dead(120)
    support = logged_in("support")
    path = freeze_set(support).replace("confirm", "events")
    seen, address = [], path
    while True:
        page = support.get(address)
        seen += [row.event_id for row, _ in page.context["rows"]]
        if not page.context["next"]:
            break
        address = path + page.context["next"]
    assert seen == sorted(Event.objects.values_list("pk", flat=True))


@pytest.mark.submission
def test_a_selection_that_is_too_large_is_reported_and_deleted(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_selection, "BATCH_SIZE", 2)
    monkeypatch.setattr(event_selection, "MAX_EVENTS", 3)
    monkeypatch.setattr("sync.replays.filter_selection._REQUEST_SECONDS", 0.0)
    dead(5)
    support = logged_in("support")
    path = freeze_set(support)
    run_jobs("event-set")
    for page in (support.get(path), support.post(path, TERMS, follow=True)):
        assert "More than 3 events match. Narrow the filters and replay in parts." in text_of(page)
        assert "data-poll=" not in text_of(page)
    assert not PersonRequestMember.objects.exists()
    assert "Replay 1 event" in text_of(support.get(freeze_set(support, entity_id="USR-1")))
