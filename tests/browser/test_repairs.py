"""From a failure to its correction by clicks: one event, a whole group, and a mapping that is changed first."""

import json

import pytest
from django.contrib.auth.models import User

from sync.models import FailureGroup, Mapping, Replay, ReplayState
from sync.operations.failure_groups import refresh_failure_groups
from sync.replays.requests import request_replay
from tests.browser.conftest import LogIn
from tests.browser.stage.event_page import reveal_values
from tests.browser.stage.profile_page import TAKEN, save_email
from tests.support.builders.bulk_replays import fail_customers, work_replay
from tests.support.hub import ANNA, Hub
from webhooks.models import Event

pytestmark = pytest.mark.slow

EVENTS = "/admin/webhooks/event/"


def test_a_failed_save_is_understood_previewed_replayed_and_ends_well(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("support")
    save_email(browser, hub, TAKEN)
    browser.open(EVENTS)
    browser.press(".tabs a:has-text('Needs attention')")
    browser.press("table.events tbody th a")
    diagnosis = browser.read("#diagnosis")
    assert "rejected the change" in diagnosis
    assert "Correct the values in the identity service, then replay." in diagnosis
    hub.change_email("anna.free@example.com")
    browser.press(".tools a[href$='/replay/']")
    reveal_values(browser)
    assert browser.read("ins.now") == "anna.free@example.com"
    assert hub.customer()["email"] == "anna.aalto@example.com", "a look changes nothing"
    browser.type("[name=reason]", "She chose another address")
    browser.press("form[method=post] .primary")
    hub.wait_until_idle()
    browser.page.reload()
    assert "Succeeded" in browser.read("#event-state")
    assert hub.customer()["email"] == "anna.free@example.com"
    assert "She chose another address" in browser.read("[aria-labelledby=lineage]")


def test_a_group_of_failures_is_replayed_with_one_refusal_inside(log_in: LogIn, hub: Hub) -> None:
    fail_customers(hub, 7)
    hub.change_email(TAKEN, "PERSON3")
    refresh_failure_groups()
    browser = log_in("support")
    browser.open("/admin/sync/failuregroup/")
    browser.press("#content table a:has-text('rejected the change')")
    assert "7 failed deliveries need attention" in browser.text
    browser.type("[name=reason]", "The shop takes changes again")
    browser.type("[name=note]", "Called them\nat noon")
    browser.press("button:has-text('Assign to me and replay 7')")
    assert "target=" in browser.address
    assert FailureGroup.objects.get().note == "Called them\r\nat noon"
    browser.press("form .primary")
    assert browser.read("h1") == "Replay 7 events"
    browser.type("[name=reason]", "the shop refused everybody")
    browser.press("form .primary")
    work_replay(Replay.objects.get(), ReplayState.FINISHED)
    browser.find("text=Finished").wait_for()
    assert "6 succeeded" in browser.text
    assert "1 failed again" in browser.text
    refresh_failure_groups()
    browser.open("/admin/sync/failuregroup/")
    browser.press("#content table a:has-text('rejected the change')")
    assert "1 failed delivery needs attention" in browser.text
    assert Event.objects.get(entity_id="PERSON3").state == "dead"


def test_values_are_revealed_where_they_are_masked_and_the_filter_of_the_list_stays(
    log_in: LogIn, hub: Hub
) -> None:
    hub.change_email("taken@example.com")
    hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    browser = log_in("support")
    browser.open(f"/admin/webhooks/event/?q={ANNA}")
    browser.press("#results a[data-open]")
    browser.find("table.change + p a, .wide + p a").click()
    assert browser.run("document.activeElement.id") == "reveal-reason"
    browser.type("#reveal-reason", "She asked why")
    browser.press("form[action$='/reveal/'] button")
    assert "taken@example.com" in browser.text
    browser.press("a:has-text('← Events')")
    assert browser.address.endswith(f"/event/?q={ANNA}")


def test_the_timeline_of_an_entity_stays_within_its_card(log_in: LogIn, hub: Hub) -> None:
    hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    browser = log_in("support")
    request_replay([Event.objects.get()], by=User.objects.get(), reason="She asked why")
    hub.wait_until_idle()
    browser.open(f"/admin/webhooks/entity/?type=USER&id={ANNA}")
    assert "replayed" in browser.text
    assert [width for width in (1600, 1440, 1280, 1024, 390) if browser.overflow(width)] == []


def test_a_mapping_is_changed_after_a_back_test_showed_the_differences(log_in: LogIn, hub: Hub) -> None:
    hub.change_email("anna.new@example.com")
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    mapping = Mapping.objects.get(name="Person to customer")
    declaration = json.loads(json.dumps(mapping.current_version().declaration))
    declaration["fields"]["first_name"]["apply"] = ["trim", "upper"]
    browser = log_in("administrator+support")
    browser.open("/admin/sync/mapping/")
    browser.press("#result_list a:has-text('Person to customer')")
    browser.press("a[href$='/edit/']")
    browser.find("#reveal-reason").fill("Labels are printed from these names")
    browser.find("#reveal-reason").press("Enter")
    browser.find("text=Resulting record").wait_for()
    browser.find("#id_declaration").fill(json.dumps(declaration, indent=2))
    browser.find("#trial ins:has-text('ANNA')").wait_for()
    assert not mapping.drafts.exists(), "the reason is sent, and nothing is saved"
    browser.find("#id_note").fill("First names in capitals")
    browser.press("[name=save]")
    writes = len(hub.writes())
    browser.find("#backtest-reason").fill("Before it is activated")
    browser.press("#content button:has-text('Back-test')")
    assert "1 of 1 tested events give a different result" in browser.text
    assert "first_name" in browser.text
    assert len(hub.writes()) == writes, "a back-test sends nothing"
    assert mapping.current_version().number == 1, "and puts nothing in force"
    browser.press(".tools .primary")
    browser.find("#id_reason").fill("The shop prints labels")
    browser.press(".actions .primary")
    assert mapping.current_version().number == 2
    hub.change_email("anna.later@example.com")
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    assert hub.customer()["first_name"] == "ANNA"
