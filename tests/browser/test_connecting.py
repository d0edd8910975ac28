"""Two systems are connected by the console alone, up to the first real change: with scripts, and without."""

from typing import Any

import pytest

from sync.models import Connection, Mapping, MappingVersion, PairDraft, Route
from tests.browser.conftest import LogIn
from tests.browser.driver.chromium import Browser
from tests.browser.stage.profile_page import save_email
from tests.support.hub import SIGNING_SECRET, Hub
from tests.support.jobs import run_jobs
from webhooks.models import Source, SourceSecret

pytestmark = pytest.mark.submission
WIDTHS = (1280, 390, 320)


@pytest.fixture(params=[True, False], ids=["with scripts", "without scripts"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"java_script_enabled": request.param}


def choose(browser: Browser, label: str) -> None:
    browser.press(f"#content button[name=choice]:has-text('{label}')")


def fits(browser: Browser) -> bool:
    """Return True if the page is within its window at each width."""
    found = [browser.overflow(width) for width in WIDTHS]
    browser.narrow(1280)
    return found == [None] * len(WIDTHS)


def test_a_newcomer_connects_two_systems_and_a_change_reaches_the_target(log_in: LogIn, hub: Hub) -> None:
    for model in (Route, MappingVersion, Mapping, SourceSecret, Source, Connection):
        model.objects.all().delete()
    browser = log_in("administrator")
    browser.open("/admin/")
    browser.press(".steps a.button")
    browser.type("[name=q]", "sandbox")
    browser.page.keyboard.press("Enter")
    browser.page.wait_for_url("**q=sandbox**")
    assert fits(browser)
    choose(browser, "Sandbox identity service")
    choose(browser, "Sandbox shop")
    assert fits(browser)
    for part, service in (("identity", hub.identity), ("target", hub.shop)):
        browser.type(f"[name={part}-base_url]", service.url)
        token = "identity-token" if part == "identity" else "shop-token"
        browser.type(f"[name={part}-token]", token)
    browser.press("#content button.primary")
    browser.open("/admin/connect/")  # left, and resumed
    browser.press("#content a.button:has-text('Resume')")
    assert "shop-token" not in browser.page.content()
    browser.press("[name=test]")
    assert "Sandbox shop: ✓ No step failed" in " ".join(browser.text.split())
    assert "would create one" in browser.text or "Would be written" in browser.text
    assert fits(browser)
    browser.type("[name=reason]", "The first pair")
    browser.press("[name=create]")
    browser.type("[name=secret]", SIGNING_SECRET)
    browser.press("#content form button.primary")
    address = browser.address
    hub.identity.sender.change_settings({"signed_url": f"{browser.site}/webhooks/sandbox"})
    save_email(browser, hub, "anna.observed@example.com")
    browser.open(address)
    assert "The first webhook has arrived." in browser.text
    assert fits(browser)
    browser.press("#content a.primary:has-text('Go live')")
    browser.press("[name=compare]")
    run_jobs("comparison")
    browser.page.reload()
    browser.type("[name=reason]", "The numbers are right")
    browser.press("#content form button.primary:has-text('Go live')")
    assert not PairDraft.objects.exists()
    save_email(browser, hub, "anna.live@example.com")
    hub.wait_until_idle()
    assert hub.customer()["email"] == "anna.live@example.com"
