"""The profile page of Anna at the identity service."""

from tests.browser.driver.chromium import Browser
from tests.support.hub import ANNA, Hub

TAKEN = "taken@example.com"


def save_email(browser: Browser, hub: Hub, address: str) -> None:
    """Enter a new address on Anna's profile page and press Save."""
    browser.open(f"{hub.identity.url}/users/{ANNA}")
    browser.type("#email", address)
    browser.press("form.fields button.primary")
