"""Everything works without scripts: each kind of form of the console is submitted once."""

import json
from typing import Any

import pytest
from django.utils import timezone

from audit.models import Entry
from console.models import Preference, SavedView
from exports.models import Export
from sync.models import (
    Alarm,
    Connection,
    Erasure,
    FailureGroup,
    Mapping,
    Replay,
    ReplayPace,
    ReplayState,
    Route,
    Snooze,
)
from sync.operations.failure_groups import refresh_failure_groups
from sync.replays import batches
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.support.builders.bulk_replays import fail_customers, fail_events, send_webhook, work_replay
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, Source

# With the browser's start it costs more than `make test` has; people, pages, repairs and refreshes stay in it.
pytestmark = pytest.mark.slow

EVENTS = "/admin/webhooks/event/"
WHY = "they called about it"


@pytest.fixture
def options() -> dict[str, Any]:
    return {"java_script_enabled": False}


def send(browser: Browser, form: str = "#content form[method=post]", **values: str) -> None:
    """Fill in the first of these forms, and press its first button."""
    for name, value in values.items():
        browser.type(f"{form} [name={name}]", value)
    browser.press(f"{form} :is(button:not([type=button]), [type=submit])")


def refused_event(hub: Hub) -> Event:
    (event,) = fail_events(hub, ANNA)
    return event


def test_no_part_of_a_page_that_needs_a_script_is_shown(log_in: LogIn, hub: Hub) -> None:
    event = refused_event(hub)
    browser = log_in("administrator")
    source = Source.objects.get(slug="aurora")
    for page in (f"{EVENTS}{event.pk}/change/", f"/admin/webhooks/source/{source.pk}/change/"):
        browser.open(page)
        assert "Copy" not in browser.text
        assert browser.has("[data-needs-script]")
        assert not browser.find(".theme-toggle").is_visible()


def test_the_list_is_filtered_and_the_view_saved_shared_and_removed(log_in: LogIn, hub: Hub) -> None:
    refused_event(hub)
    send_webhook(hub, ANNA)
    browser = log_in("support")
    browser.open("/admin/preferences/")
    browser.find("[name=time_zone]").select_option("Europe/Helsinki")
    browser.press("#content form[method=post] [type=submit], #content form[method=post] button")
    assert Preference.objects.get().time_zone == "Europe/Helsinki"
    browser.open(EVENTS)
    browser.find(".chip summary:has-text('Status')").click()
    browser.press(".chip a:has-text('Failed')")
    browser.find(".chip summary:has-text('Received')").click()
    send(browser, ".chip form", received_from_local="2020-01-01T12:00", received_to_local="2999-01-01T00:00")
    assert "received_from=2020-01-01T10%3A00%3A00Z" in browser.address
    assert browser.page.locator("table.events tbody tr").count() == 1
    browser.find(".menu summary:has-text('Save this view')").click()
    browser.find("[name=is_shared]").check()
    send(browser, "form.save-view", name="Failed ones")
    assert SavedView.objects.get().is_shared
    browser.press(".tabs a:has-text('Failed ones')")
    send(browser, ".tabs form.at-end")
    assert not SavedView.objects.exists()
    browser.type("[name=q]", ANNA)
    browser.find("[name=q]").press("Enter")
    browser.find(".found").wait_for()
    assert f"All events of the entity {ANNA}." in browser.text


def test_contents_are_revealed_and_the_event_replayed(log_in: LogIn, hub: Hub) -> None:
    event = refused_event(hub)
    browser = log_in("support")
    browser.open(f"{EVENTS}{event.pk}/change/")
    browser.find("details:has(form[action$='/reveal/']) summary").click()
    send(browser, "form[action$='/reveal/']", reason=WHY)
    assert ANNA in browser.read("#payload")
    browser.press(".tools a[href$='/replay/']")
    send(browser, reason=WHY)
    hub.wait_until_idle()
    event.refresh_from_db()
    assert event.state == "succeeded"


def test_ticked_events_are_frozen_sent_paused_continued_and_stopped(
    log_in: LogIn, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "EVENTS_PER_MINUTE", dict.fromkeys(ReplayPace, 0.001))
    fail_customers(hub, 3)
    browser = log_in("support")
    browser.open(f"{EVENTS}?state=dead")
    for place in range(2):
        browser.page.locator("[name=_selected_action]").nth(place).check()
    browser.press("[value=replay_selected]")
    assert browser.read("h1") == "Replay 2 events"
    send(browser, reason=WHY)
    replay = Replay.objects.get()
    for button, state in (
        ("#pause", ReplayState.PAUSED),
        ("form[action$='/continue/'] button", ReplayState.RUNNING),
    ):
        browser.press(button)
        replay.refresh_from_db()
        assert replay.state == state
    browser.find("#stop summary").click()
    browser.press("#stop form button")
    assert work_replay(replay, ReplayState.STOPPED).reason == WHY


def test_an_event_is_closed_manually(log_in: LogIn, hub: Hub) -> None:
    event = refused_event(hub)
    browser = log_in("support")
    browser.open(f"{EVENTS}{event.pk}/change/")
    browser.find(".tools .menu summary").click()
    browser.press("#close-this")
    send(browser, reason=WHY)
    event.refresh_from_db()
    assert event.state == "closed"


def test_a_group_of_failures_gets_notes_and_an_owner_and_is_resolved(log_in: LogIn, hub: Hub) -> None:
    refused_event(hub)
    refresh_failure_groups()
    group = FailureGroup.objects.get()
    browser = log_in("support")
    browser.open(f"/admin/sync/failuregroup/{group.pk}/change/")
    # Any button sends all that is typed on the page.
    browser.type("[name=note]", "Ask the shop\nafter lunch")
    browser.press("button[formaction$='/note/']")
    browser.type("[name=known_fix]", "Wait")
    for decision in ("acknowledged", "resolved"):
        browser.type("form[action$='/decide/'] [name=reason]", WHY)
        browser.press(f"[value={decision}]:not([formaction])")
        group.refresh_from_db()
        assert (group.note, group.known_fix, group.state) == ("Ask the shop\r\nafter lunch", "Wait", decision)


def test_a_source_is_tested_paused_and_gets_a_secret_and_a_connection_is_tested(
    log_in: LogIn, hub: Hub
) -> None:
    source, connection = Source.objects.get(slug="aurora"), Connection.objects.get(side="identity")
    browser = log_in("administrator")
    browser.open(f"/admin/webhooks/source/{source.pk}/change/")
    send(browser, "form[action$='/test/']")
    assert "The test event was verified" in browser.text
    for way in ("pause", "resume"):
        browser.press(f"a[href$='/{way}/']")
        send(browser, reason=WHY)
    old = source.secrets.get()
    browser.press("a[href$='/rotate/']")
    send(browser, reason=WHY)
    assert browser.read("#new-secret").startswith("whsec_")
    browser.open(f"/admin/webhooks/source/{source.pk}/change/")
    browser.press(f"a[href$='/secrets/{old.pk}/end/']")
    send(browser, reason=WHY)
    browser.open(f"/admin/sync/connection/{connection.pk}/change/")
    send(browser, "form[action$='/test/']")
    assert "All steps passed, with a warning. See the steps below." in browser.text
    assert set(
        Entry.objects.filter(stream=f"setting:source:{source.pk}").values_list("action", flat=True)
    ) >= {
        "source.tested",
        "source.paused",
        "source.resumed",
        "secret.added",
        "secret.ended",
    }


def test_a_setting_is_added_changed_and_deleted(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("administrator")
    browser.open("/admin/webhooks/source/add/")
    for name, value in (("name", "Second"), ("slug", "second"), ("reason", WHY)):
        browser.type(f"[name={name}]", value)
    browser.find("[name=scheme]").select_option("none")
    browser.press("[name=_save]")
    source = Source.objects.get(slug="second")
    browser.open(f"/admin/webhooks/source/{source.pk}/change/")
    browser.type("[name=name]", "The second")
    browser.press("[name=_save]")
    assert browser.read("ins.now") == "The second"
    send(browser, reason=WHY)
    source.refresh_from_db()
    assert source.name == "The second"
    browser.open(f"/admin/webhooks/source/{source.pk}/delete/")
    send(browser, reason=WHY)
    assert not Source.objects.filter(slug="second").exists()


def test_held_deliveries_are_approved(log_in: LogIn, hub: Hub) -> None:
    send_webhook(hub, ANNA)
    Route.objects.update(max_removals=0)
    hub.identity.directory.delete_record("users", ANNA)
    event = send_webhook(hub, ANNA, "DELETE")
    assert event.state == "held"
    browser = log_in("support")
    browser.open("/admin/sync/delivery/")
    browser.press("#content a[href*='/route/']")
    browser.find("[name=everything]").check()
    browser.press("[value=approve]")
    send(browser, reason=WHY)
    hub.wait_until_idle()
    event.refresh_from_db()
    assert event.state == "succeeded"


def test_a_mapping_is_drafted_tried_back_tested_activated_and_renamed(log_in: LogIn, hub: Hub) -> None:
    send_webhook(hub, ANNA)
    mapping = Mapping.objects.get(name="Person to customer")
    declaration = json.loads(json.dumps(mapping.current_version().declaration))
    declaration["fields"]["first_name"]["apply"] = ["trim", "upper"]
    browser = log_in("administrator+support")
    browser.open(f"/admin/sync/mapping/{mapping.pk}/edit/")
    browser.type("#id_declaration", json.dumps(declaration))
    browser.find("#id_event").select_option(index=1)
    browser.press("[name=try]")
    browser.type("#reveal-reason", WHY)
    browser.press("[name=reveal]")
    assert "Anna → ANNA" in browser.text
    browser.press("[name=save]")
    send(browser, "form[action$='/backtest/']", reason=WHY)
    assert "1 of 1 tested event" in browser.text
    browser.press(".tools .primary")
    send(browser, reason=WHY)
    assert mapping.current_version().number == 2
    browser.open(f"/admin/sync/mapping/{mapping.pk}/change/")
    send(browser, "section[aria-labelledby=name] form", name="Person to buyer", reason=WHY)
    mapping.refresh_from_db()
    assert mapping.name == "Person to buyer"


def test_an_export_is_requested_and_cancelled_and_a_list_downloaded(log_in: LogIn, hub: Hub) -> None:
    refused_event(hub)
    browser = log_in("auditor")
    browser.open(f"{EVENTS}?state=dead")
    browser.press(".tools a:has-text('Export…')")
    send(browser, reason=WHY)
    export = Export.objects.get()
    send(browser, "form[action$='/cancel/']")
    export.refresh_from_db()
    assert (export.state, export.reason) == ("cancelled", WHY)
    browser.open("/admin/audit/entry/")
    browser.find(".chip summary:has-text('Action')").click()
    browser.press(".chip a:has-text('Exports')")
    assert "auditor cancelled an export" in browser.read("table.entries").replace(" auditor c", " c")


def test_an_alarm_is_snoozed(log_in: LogIn, hub: Hub) -> None:
    now = timezone.now()
    alarm = Alarm.objects.create(kind="deliveries-dead", began_at=now, raised_at=now)
    browser = log_in("support")
    browser.open("/admin/sync/alarm/")
    browser.find("[name=alarm]").check()
    browser.press("button:has-text('Snooze selected…')")
    browser.find("[name=length]").select_option(index=1)
    send(browser, reason=WHY)
    assert Snooze.objects.get().alarm == alarm


def test_an_erasure_is_previewed_and_requested(log_in: LogIn, hub: Hub) -> None:
    send_webhook(hub, ANNA)
    browser = log_in("administrator")
    browser.open("/admin/sync/erasure/find/")
    send(browser, entity_id=ANNA)
    assert not Erasure.objects.exists()
    send(browser, reason=WHY)
    assert Erasure.objects.get().state == "requested"


def test_settings_are_listed_and_checked_before_they_are_saved(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("administrator")
    source = Source.objects.get(slug="aurora")
    browser.open(f"/admin/webhooks/source/{source.pk}/change/")
    listed = ".field-webhook_format .field-list"
    assert "How occurred_at is written" not in browser.text
    browser.find(f"{listed} > summary").click()
    assert "How occurred_at is written" in browser.read(listed)
    browser.type("[name=webhook_format]", '{\n"id": "body["\n}')
    browser.press("[name=_check]")
    assert "Line 2, id: This must be a JMESPath expression." in browser.read(".field-webhook_format")
    browser.type("[name=webhook_format]", '{"id": "body.id"}')
    browser.press("[name=_check]")
    assert "No errors found. Nothing was saved." in browser.text
    assert browser.find("[name=webhook_format]").input_value() == '{"id": "body.id"}'
    source.refresh_from_db()
    assert source.webhook_format == {}
