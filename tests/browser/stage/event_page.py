"""Steps on pages that show the contents of an event."""

from tests.browser.driver.chromium import Browser


def reveal_values(browser: Browser) -> None:
    """Reveal the masked values of the page with a reason."""
    browser.find("#reveal > summary").click()
    browser.type("#reveal-reason", "She asked why")
    browser.press("form[action$='/reveal/'] button")
