"""From a failure to its correction by clicks: a whole group, a record that a person chooses, and a mapping that is changed."""

import json

import pytest

from sync.models import FailureGroup, Mapping, PersonRequest, PersonRequestState, Route
from sync.operations.failure_groups import refresh_failure_groups
from sync.planning.record_matching import MatchingPolicy
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.browser.stage.event_page import reveal_values
from tests.browser.stage.profile_page import TAKEN
from tests.support.builders.bulk_replays import fail_customers, work_replay
from tests.support.builders.matched_records import STRANGER_EMAIL, stranger_record
from tests.support.hub import ANNA, Hub
from webhooks.models import Event

pytestmark = pytest.mark.nightly

EVENTS = "/admin/webhooks/event/"


def test_a_group_of_failures_is_replayed_with_one_refusal_inside(log_in: LogIn, hub: Hub) -> None:
    fail_customers(hub, 7)
    hub.change_email(TAKEN, "PERSON3")
    refresh_failure_groups()
    browser = log_in("support")
    browser.open("/admin/sync/failuregroup/")
    browser.press("#content table a:has-text('rejected the change')")
    browser.type("[name=note]", "Called them\nat noon")
    browser.press("button:has-text('Replay all 7')")
    assert FailureGroup.objects.get().note == "Called them\r\nat noon"
    assert browser.read("h1") == "Replay 7 events"
    browser.type("[name=reason]", "the shop refused everybody")
    browser.press("form .primary")
    work_replay(PersonRequest.objects.get(), PersonRequestState.FINISHED)
    browser.find("text=Finished").wait_for()
    assert "6 succeeded" in browser.text
    assert "1 failed again" in browser.text
    refresh_failure_groups()
    browser.open("/admin/sync/failuregroup/")
    browser.press("#content table a:has-text('rejected the change')")
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
    browser.find(".tabs button[value=json]").click()
    browser.find("#id_declaration").wait_for()
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


def test_a_person_who_enters_the_address_of_a_stranger_gets_the_record_that_support_choose(
    log_in: LogIn, hub: Hub
) -> None:
    Route.objects.filter(entity_type="USER").update(matching=MatchingPolicy.HOLD.value)
    browser, record = log_in("support"), stranger_record(hub)
    before = [customer for customer in hub.shop.list_records("customers") if str(customer["id"]) == record]
    user = add_person(browser, hub, STRANGER_EMAIL)
    after = [customer for customer in hub.shop.list_records("customers") if str(customer["id"]) == record]
    assert after == before, "the stranger's record is unchanged"
    choose_record(browser, record)
    hub.wait_until_idle()
    assert str(hub.customer(user)["id"]) == record  # type: ignore[index]


def add_person(browser: Browser, hub: Hub, email: str) -> str:
    """Add a person on the page of the identity service. Returns their id."""
    browser.open(f"{hub.identity.url}/users")
    browser.find("details summary").click()
    for name, value in (("given_name", "Mallory"), ("family_name", "Moss"), ("email", email)):
        browser.type(f"[name={name}]", value)
    browser.press("details .primary")
    return browser.address.split("/users/")[1].split("?")[0]


def choose_record(browser: Browser, record: str) -> None:
    """Link a record on the page of the newest held delivery."""
    browser.open("/admin/sync/delivery/")
    browser.press("main .actions a.button")
    browser.press("[aria-labelledby=matches] a[href$='/record/']")
    assert [browser.overflow(width) for width in (1280, 390, 320)] == [None] * 3
    browser.narrow(1280)
    reveal_values(browser)
    assert f"Record {record}" in browser.read("table.match")
    assert f"{STRANGER_EMAIL} (same)" in browser.read("table.match")
    browser.find(f"[name=choice][value='bind:{record}']").check()
    browser.type("[name=reason]", "She called and named her order")
    browser.press("form[method=post] .primary")
