"""Failure groups and manual closing in the console: by role, with a reason, never twice."""

import re
from html import unescape
from uuid import uuid4

import pytest
from django.test import Client

from audit.models import Entry
from console.ui.outcome_texts import describe_code
from sync.models import Delivery, FailureGroup, FailureGroupState, PersonRequest
from sync.operations.failure_groups import refresh_failure_groups
from tests.support.builders.history import logged_in
from tests.support.builders.overviews import a_failed_delivery
from tests.support.pages import on_one_line, text_of
from webhooks.models import State

pytestmark = pytest.mark.django_db
LIST = "/admin/sync/failuregroup/"


@pytest.fixture
def group() -> FailureGroup:
    for number in range(3):
        a_failed_delivery(number + 1, "target-unavailable")
    a_failed_delivery(9, "target-rejected")
    refresh_failure_groups()
    return FailureGroup.objects.get(code="target-unavailable")


def page(group: FailureGroup, client: Client | None = None) -> str:
    answer = (client or logged_in("support")).get(f"{LIST}{group.pk}/change/")
    assert answer.status_code == 200
    return text_of(answer)


def test_the_list_shows_the_largest_group_first_and_tabs_by_decision(group: FailureGroup) -> None:
    support = logged_in("support")
    listed = support.get(LIST).content.decode()
    assert describe_code("target-unavailable", "The shop").title in listed
    replays = re.findall(r"/replay/new/\?state=dead&amp;code=([\w-]+)", listed)
    assert replays == ["target-unavailable"], "a rejection would only be repeated"
    rows = re.findall(r"failuregroup/(\d+)/change/", listed)
    assert rows[0] == str(group.pk)
    assert len(set(rows)) == 2
    FailureGroup.objects.filter(pk=group.pk).update(state=FailureGroupState.RESOLVED)
    assert f"failuregroup/{group.pk}/change/" not in support.get(LIST).content.decode()
    assert f"failuregroup/{group.pk}/change/" in support.get(f"{LIST}?shown=resolved").content.decode()


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("decision", "state"),
    [("acknowledged", "acknowledged"), ("resolved", "open"), ("ignored", "open"), ("open", "open")],
)
def test_only_taking_ownership_needs_no_reason(group: FailureGroup, decision: str, state: str) -> None:
    answer = logged_in("support").post(f"{LIST}{group.pk}/decide/", {"decision": decision, "reason": " "})
    assert ("This field is required." in answer.content.decode()) is (decision != "acknowledged")
    group.refresh_from_db()
    assert group.state == state


def test_taking_ownership_and_replaying_leads_to_the_replay_of_this_group(group: FailureGroup) -> None:
    support = logged_in("support")
    shown = page(group, support)
    (decision,) = re.findall(
        r'name="decision" value="(\w+)" form="group-form" formaction="[^"]+replay=gentle">Replay all 3…',
        on_one_line(shown),
    )
    answer = support.post(f"{LIST}{group.pk}/decide/?replay=gentle", {"decision": decision, "reason": ""})
    replay = PersonRequest.objects.get()
    assert answer["Location"] == f"/admin/sync/personrequest/{replay.uuid}/confirm/?pace=gentle"
    assert replay.filter == {"state": "dead", "code": "target-unavailable", "target": "shop"}
    group.refresh_from_db()
    assert group.state == FailureGroupState.ACKNOWLEDGED, "nothing is replayed before it is confirmed"


def sent_by(shown: str) -> dict[str, str]:
    """Return what a browser sends with any button of the page if the person changes no field."""
    hidden = re.findall(
        r'<input type="hidden" name="(initial-\w+)" value="([^"]*)" form="group-form">', on_one_line(shown)
    )
    fields = {name: unescape(value) for name, value in hidden}
    assert set(fields) == {"initial-owner", "initial-note", "initial-known_fix", "initial-ticket_url"}
    return {name.removeprefix("initial-"): value for name, value in fields.items()} | fields


@pytest.mark.submission
@pytest.mark.parametrize(
    ("path", "button", "leads_to"),
    [
        ("note", {}, "/change/"),
        ("decide", {"decision": "resolved"}, "/change/"),
        ("decide/?replay=first", {"decision": "acknowledged"}, "/confirm/?pace=first"),
        ("close", {}, "/close/"),
    ],
)
def test_every_button_of_the_page_saves_a_typed_note(
    group: FailureGroup, path: str, button: dict[str, str], leads_to: str
) -> None:
    support = logged_in("support")
    shown = page(group, support)
    assert len(re.findall(r'<(?:select|textarea) name="\w+"[^>]* form="group-form"', shown)) == 3
    for action in ("decide", "note", "close", "decide/?replay=first"):
        assert f'action="{LIST}{group.pk}/{action}' in shown
    typed = {**sent_by(shown), "note": "Called them.\r\nBack at 3.", "reason": "I call them", **button}
    path = path if "?" in path else f"{path}/"
    answer = support.post(f"{LIST}{group.pk}/{path}", typed, follow=True)
    address = answer.redirect_chain[-1][0] if answer.redirect_chain else "/change/"
    assert leads_to in address
    group.refresh_from_db()
    assert (group.note, group.known_fix) == ("Called them.\r\nBack at 3.", "")
    if path in ("note/", "close/"):
        assert ">\nI call them</textarea>" in answer.content.decode().replace("\r\n", "\n"), "the reason too"


@pytest.mark.submission
def test_a_page_that_was_open_longer_overwrites_no_newer_note(group: FailureGroup) -> None:
    support = logged_in("support")
    early = sent_by(page(group, support))
    FailureGroup.objects.filter(pk=group.pk).update(note="They <know>.")
    assert support.post(f"{LIST}{group.pk}/decide/", {**early, "decision": "acknowledged"}).status_code == 302
    support.post(f"{LIST}{group.pk}/note/", {**early, "known_fix": "Restart it."})
    group.refresh_from_db()
    assert (group.note, group.known_fix) == ("They <know>.", "Restart it.")
    refused = support.post(f"{LIST}{group.pk}/note/", {**early, "note": "Called them."}).content.decode()
    assert "It is now: “They &lt;know&gt;.”. To replace it, save again." in refused
    assert ">\nCalled them.</textarea>" in refused.replace("\r\n", "\n")
    group.refresh_from_db()
    assert group.note == "They <know>."
    again = {**sent_by(refused), "note": "Called them."}
    assert support.post(f"{LIST}{group.pk}/note/", again).status_code == 302
    group.refresh_from_db()
    assert group.note == "Called them."


@pytest.mark.submission
def test_all_failures_of_a_group_are_closed_and_later_ones_are_not(group: FailureGroup) -> None:
    support = logged_in("support")
    assert "Close all 3…" in page(group, support)
    confirm = support.post(f"{LIST}{group.pk}/close/")["Location"]
    later = a_failed_delivery(60, "target-unavailable")
    shown = support.get(confirm).content.decode()
    assert ">Close 3 deliveries</button>" in shown
    key = re.findall(r'name="key" value="([^"]+)"', shown)[0]
    assert confirm.endswith(f"/close/{key}/")
    answer = support.post(confirm, {"reason": "typed in by hand", "key": key}, follow=True)
    assert answer.status_code == 200
    assert Delivery.objects.filter(state=State.CLOSED).count() == 3
    later.refresh_from_db()
    assert later.state == State.DEAD
    again = support.post(confirm, {"reason": "typed in by hand", "key": key}, follow=True)
    assert "Nothing was done twice" in again.content.decode()
    assert Entry.objects.filter(action="delivery.done-by-hand").count() == 3


@pytest.mark.submission
def test_one_event_is_closed_manually(group: FailureGroup) -> None:
    support = logged_in("support")
    delivery = Delivery.objects.filter(code="target-rejected").get()
    path = f"/admin/webhooks/event/{delivery.event_id}/close/"
    missing = support.post(path, {"reason": "", "key": str(uuid4())})
    assert "This field is required." in missing.content.decode()
    answer = support.post(path, {"reason": "done in the shop", "key": str(uuid4())})
    assert answer["Location"] == f"/admin/webhooks/event/{delivery.event_id}/change/"
    delivery.refresh_from_db()
    assert delivery.state == State.CLOSED
    assert "done in the shop" in support.get(answer["Location"]).content.decode()
    assert "There is nothing left to close" in support.get(path).content.decode()


@pytest.mark.submission
def test_a_selection_of_another_person_is_not_shown(group: FailureGroup) -> None:
    confirm = logged_in("support").post(f"{LIST}{group.pk}/close/")["Location"]
    other = logged_in("support").get(confirm, follow=True).content.decode()
    assert "selection has expired" in other


@pytest.mark.submission
def test_closing_a_group_asks_for_confirmation_folds_a_long_list_and_returns_to_the_group(
    group: FailureGroup,
) -> None:
    for number in range(10, 16):
        a_failed_delivery(number, "target-unavailable")
    support = logged_in("support")
    confirm = support.post(f"{LIST}{group.pk}/close/")["Location"]
    shown = text_of(support.get(confirm))
    listed, folded = shown.split("<details><summary>Show 4 more</summary>")
    assert listed.index("What was done") < listed.index("Deliveries to close")
    events = r'<td><a href="/admin/webhooks/event/\d+/change/'
    assert (len(re.findall(events, listed)), len(re.findall(events, folded))) == (5, 4)


@pytest.mark.submission
def test_the_page_counts_current_failures_before_the_next_recount(group: FailureGroup) -> None:
    Delivery.objects.filter(code="target-unavailable").order_by("pk")[:1].get().delete()
    shown = page(group)
    assert "Replay all 2…" in shown
    assert "Close all 2…" in shown
    Delivery.objects.filter(code="target-unavailable").delete()
    shown = page(group)
    assert "Close all" not in shown
    words = describe_code("target-unavailable", "The shop")
    assert words.next_step not in shown, "there is nothing to do"


@pytest.mark.submission
@pytest.mark.parametrize(("state", "waits"), [("open", True), ("acknowledged", True), ("ignored", False)])
def test_an_ignored_group_needs_no_action(group: FailureGroup, state: str, waits: bool) -> None:
    FailureGroup.objects.filter(pk=group.pk).update(state=state)
    shown = page(group)
    assert ("3 failed deliveries need attention." in shown) is waits
    assert ("3 deliveries failed." in shown) is not waits
