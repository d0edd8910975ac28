"""A mapping is edited as a table: with scripts its buttons replace the table, without them they load the page again."""

from typing import Any

import pytest

from sync.models import Mapping
from tests.browser.conftest import LogIn
from tests.browser.driver.axe import prepare, violations
from tests.browser.driver.chromium import Browser
from tests.support.hub import ANNA, Hub

pytestmark = pytest.mark.submission

TREE = "#sample-tree button"


@pytest.fixture
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"java_script_enabled": getattr(request, "param", True)}


def edit_page(hub: Hub, browser: Browser) -> Mapping:
    hub.change_email("anna.new@example.com")
    hub.post({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    mapping = Mapping.objects.get(name="Person to customer")
    browser.open(f"/admin/sync/mapping/{mapping.pk}/edit/")
    return mapping


def row(name: str) -> str:
    return f"table.mapping tr:has(input[type=hidden][value='{name}'])"


@pytest.mark.parametrize("options", [True, False], ids=["script", "no-script"], indirect=True)
def test_a_value_is_picked_lower_cased_seen_and_saved(
    log_in: LogIn, hub: Hub, options: dict[str, Any]
) -> None:
    browser = log_in("administrator+support")
    mapping = edit_page(hub, browser)
    browser.find("#reveal-reason").fill("They want names in lower case")
    browser.press("[name=reveal]")
    assert "anna.new@example.com" in browser.read(f"{row('email')} td[data-label=Result]")
    # By keyboard.
    browser.find(f"{row('first_name')} button").press("Enter")
    browser.find("tr.open").wait_for()
    browser.find(f"{TREE}[value='entity.name.familyName']").press("Enter")
    browser.find("tr.open input[value='entity.name.familyName']").wait_for()
    browser.find("tr.options select[name^=apply]").select_option("lower")
    if not options["java_script_enabled"]:
        browser.press("tr.options button[value^=close]")
    browser.find(f"{row('first_name')} td[data-label=Result]:has-text('aalto')").wait_for()
    browser.find(f"{row('phone')} input[name^=value-]").fill("entity.mobils[0].number")
    if not options["java_script_enabled"]:
        browser.press(".sample [name=try]")
    browser.find(".red:has-text('No sample has “mobils”.')").wait_for()
    browser.find(f"{row('phone')} input[name^=value-]").fill("entity.mobiles[0].number")
    browser.press("[name=save]")
    rule = mapping.drafts.get().declaration["fields"]["first_name"]
    assert (rule["path"], rule["apply"]) == ("entity.name.familyName", ["lower"])
    before = mapping.current_version().declaration
    assert {**mapping.drafts.get().declaration["fields"], "first_name": 0} == {
        **before["fields"],
        "first_name": 0,
    }


def test_the_table_is_accessible_fits_a_phone_and_breaks_no_policy(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("administrator")
    edit_page(hub, browser)
    assert "•••" in browser.read("#sample-tree")
    browser.find(f"{row('email')} button").click()
    browser.find("tr.options").wait_for()
    browser.find(f"{row('email')} input[name^=value-]").fill("entity.emial")
    browser.find(".red").wait_for()
    prepare(browser)
    for scheme in ("light", "dark"):
        browser.run("name => document.documentElement.dataset.theme = name", scheme)
        assert violations(browser) == []
    assert [browser.overflow(width) for width in (320, 390, 768, 1024, 1280)] == [None] * 5
    browser.find("#id_entity").evaluate("area => { area.closest('details').open = true }")
    browser.type("#id_entity", '{"nickname": "Annie"}')
    browser.find(f"{TREE}[value='entity.nickname']").wait_for()
    browser.find(".tabs button[value=json]").click()
    browser.find("#id_declaration").wait_for()
    assert violations(browser) == []
    # The page asks before it is left, since something was typed.
    browser.page.on("dialog", lambda dialog: dialog.accept())
