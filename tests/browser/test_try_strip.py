"""The journeys of the strip *Try* on the overview of `make run`. Holds what no other test does: that each step of the
strip leads on to its result.
"""

from pathlib import Path
from typing import Any

import pytest

from devtools.settings import BASE_DIR, TEMPLATES
from exports.models import Export
from sync.models import Comparison
from tests.browser.conftest import LogIn
from tests.browser.driver.axe import prepare, violations
from tests.browser.driver.chromium import Browser
from tests.support.builders.exports import run_readme_commands, save_checkpoint, unpack_export
from tests.support.hub import Hub, new_sealing_key
from tests.support.jobs import run_jobs

pytestmark = pytest.mark.submission


@pytest.fixture(autouse=True)
def _strip(settings: Any, tmp_path: Path) -> None:
    """Use the settings with which `make run` starts the console."""
    folders = [BASE_DIR / "devtools" / "templates", *TEMPLATES[0]["DIRS"]]
    settings.TEMPLATES = [{**TEMPLATES[0], "DIRS": folders}]
    settings.ROOT_URLCONF = "devtools.try_strip.urls"
    settings.SEARCH_KEYS = [new_sealing_key()]
    settings.EXPORT_FOLDER = str(tmp_path / "exports")


def choose(browser: Browser, step: str) -> None:
    """Choose a step of the strip on the overview."""
    browser.open("/admin/")
    browser.press(f".try-strip :is(a, button):text-is('{step}')")


def email_of_anna(hub: Hub) -> str:
    return str(hub.identity.directory.get_record("users", "IDNUMBER1234")["emails"][0]["address"])


def test_a_change_of_anna_succeeds(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("support")
    assert [browser.overflow(width) for width in (320, 1280)] == [None] * 2
    prepare(browser)
    assert violations(browser) == []
    choose(browser, "Change Anna")
    assert "Succeeded" in browser.read("main h1, #content")
    assert hub.customer()["email"] == email_of_anna(hub) != "anna.aalto@example.com"


def test_with_a_broken_shop_it_fails_and_its_replay_succeeds(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("support")
    choose(browser, "Break the shop")
    assert "The shop accepts no changes at the moment." in browser.text
    assert hub.customer()["email"] == "anna.aalto@example.com"
    choose(browser, "Replay")
    browser.type("form:has(.primary) [name=reason]", "The shop works again")
    browser.press("form:has([name=reason]) .primary")
    hub.wait_until_idle()
    browser.page.reload()
    assert browser.read(".attempt[open]").startswith("#2 Succeeded")
    assert hub.customer()["email"] == email_of_anna(hub)
    choose(browser, "Replay")
    assert "No change of Anna has failed." in browser.text


def test_she_is_found_by_the_address_that_she_has_now(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("support")
    choose(browser, "Change Anna")
    choose(browser, "Find her by e-mail")
    assert "Anna Aalto" in browser.read("h1")


def test_a_comparison_shows_what_differs(log_in: LogIn, hub: Hub) -> None:
    browser = log_in("support")
    choose(browser, "Compare")
    browser.press("form[action$='/compare/'] button")
    run_jobs("comparison")
    browser.press(f"a[href*='{Comparison.objects.get().uuid}']")
    assert "Record missing" in browser.text


def test_an_export_is_made_and_verified(log_in: LogIn, hub: Hub, tmp_path: Path) -> None:
    hub.post_signed({"id": "IDNUMBER1234", "entityType": "USER", "eventType": "UPDATE"})
    browser = log_in("auditor")
    assert "Find her by e-mail (log in as support)" in browser.read(".try-strip")
    choose(browser, "Export and verify")
    browser.type("[name=reason]", "Quarterly review")
    browser.press("form[method=post] .primary")
    run_jobs("export")
    browser.page.reload()
    assert "verify.py" in browser.read("#check-proof")
    folder = unpack_export(Export.objects.get(), tmp_path)
    save_checkpoint(folder)
    assert run_readme_commands(folder) == [0, 0, 0]
