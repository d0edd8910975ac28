"""A real browser, driven the way a person drives it, and what it complains of."""

import shutil
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
)
PHONES = 500  # px; narrower than this is emulated as a phone, which honours the page's viewport

_OVERFLOW = """
const root = document.documentElement, edge = root.clientWidth;
if (root.scrollWidth <= arguments[0] && edge <= arguments[0]) return null;
const wide = [...document.querySelectorAll("body *")].filter(
  e => e.getBoundingClientRect().right > edge + 1 && !e.closest(".results, .wide, .scrolling"));
return `${root.scrollWidth} px: ` + wide.slice(0, 3).map(e => e.outerHTML.slice(0, 80)).join(" ");
"""


def programs() -> tuple[str, str] | None:
    """Where Chromium and its driver are, if both are here."""
    browsers = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, browsers)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


def start(browser: str, driver: str) -> webdriver.Chrome:
    """A headless browser that keeps its console log."""
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


@dataclass
class Browser:
    """One person's browser. Paths are those of `site`; what is elsewhere is named in full."""

    driver: webdriver.Chrome
    site: str

    def open(self, address: str) -> None:
        self.driver.get(urljoin(self.site, address))

    @property
    def address(self) -> str:
        return str(self.driver.current_url)

    @property
    def text(self) -> str:
        """What a person reads: hidden parts are not in it."""
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def has(self, css: str) -> bool:
        return bool(self.driver.find_elements(By.CSS_SELECTOR, css))

    def type(self, css: str, text: str) -> None:
        field = self.find(css)
        field.clear()
        field.send_keys(text)

    def press(self, css: str) -> None:
        """Click, and wait until the page that it leads to is there."""
        before = self.find("html")
        self.find(css).click()
        WebDriverWait(self.driver, 10, 0.02).until(lambda _: self.find("html") != before)

    def log_in(self, name: str, password: str) -> None:
        self.driver.delete_all_cookies()
        self.open("/admin/")
        self.type("[name=username]", name)
        self.type("[name=password]", password)
        self.press("[type=submit]")

    def narrow(self, width: int) -> None:
        """The window, this many CSS pixels wide."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < PHONES}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def overflow(self, width: int) -> str | None:
        """What is wider than the window and makes the whole page scroll sideways; None where nothing is."""
        self.narrow(width)
        found = self.run(_OVERFLOW, width)
        return None if found is None else str(found)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """Errors and violations of the page's policy since the last call. Advice to authors is left out."""
        log = self.driver.get_log("browser")
        return [line["message"] for line in log if line["level"] == "SEVERE" or line["source"] == "security"]
