"""The documents of a connection are edited with controls: in place with scripts, and at every width."""

from typing import Any

import pytest

from connectors.presets import load_preset
from sync.models import Connection
from tests.browser.conftest import LogIn
from tests.browser.driver import axe
from tests.support.hub import Hub

pytestmark = pytest.mark.submission

RULES = "/entities/USER/answers"


def _make_connection() -> Connection:
    chosen: dict[str, Any] = load_preset("directus-identity")
    chosen["settings"]["entities"]["USER"]["answers"] = [{"status": 404, "means": "absent"}]
    return Connection.objects.create(
        slug="people",
        name="People",
        side="identity",
        connector=chosen["connector"],
        base_url="https://people.example",
        authentication={"scheme": "bearer"},
        settings=chosen["settings"],
        is_enabled=False,
        catch_up_minutes=None,
    )


def test_cards_rows_and_variants_change_in_place_and_what_was_typed_stays(log_in: LogIn, hub: Hub) -> None:
    of = _make_connection()
    browser = log_in("administrator")
    browser.open(f"/admin/sync/connection/{of.pk}/change/")
    page = browser.page
    page.fill("[name=token]", "typed-token-1")

    def press(document: str, action: str) -> None:
        page.locator(f'#document-{document} button[value="{action}"]').click()
        page.wait_for_selector(f"#document-{document}:not([aria-busy])")

    press("settings", "open /entities/USER")
    press("settings", f"open {RULES}/0")
    press("settings", f"add {RULES}")
    page.fill(f'[name="settings:v:{RULES}/1/status"]', "409")
    page.locator(f'[name="settings:v:{RULES}/1/means"]').first.focus()
    press("settings", f"up {RULES}/1")
    assert page.input_value(f'[name="settings:v:{RULES}/0/status"]') == "409"
    assert page.input_value("[name=token]") == "typed-token-1"
    press("settings", f"remove {RULES}/0")
    assert browser.complaints() == []
    axe.prepare(browser)
    assert axe.violations(browser) == []
    # Its own styles are refused by the policy of the page.
    browser.complaints()
    page.select_option('[name="authentication:v:/scheme"]', "basic")
    page.wait_for_selector("[name=password]")
    assert page.locator("[name=token]").count() == 0
    assert Connection.objects.get(pk=of.pk).authentication == {"scheme": "bearer"}
    path = '[name="settings:v:/entities/USER/path"]'
    page.fill(path, "people")
    browser.press("[name=_save]")
    page.wait_for_selector(f"{path}[aria-invalid=true]")
    axe.prepare(browser)
    assert axe.violations(browser) == []
    browser.complaints()
    assert browser.overflow(320) is None
