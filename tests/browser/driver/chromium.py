"""A real browser, controlled like a person would, and the complaints that it reports."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from playwright.sync_api import BrowserContext, Locator, Page, sync_playwright

from tests.browser.driver.thread_proxy import Apart, Thread

FLAGS = ("--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--hide-scrollbars")
PHONES = 500  # px; narrower than this is emulated as a phone, which honours the page's viewport
PATIENCE = 60_000  # ms until an element that does not come, or a page, fails the test

_OVERFLOW = """
width => {
  const root = document.documentElement, edge = root.clientWidth;
  if (root.scrollWidth <= width && edge <= width) {
    const card = [...document.querySelectorAll(".card, .list-card, .module")].find(
      e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === "visible");
    return card ? `${card.scrollWidth} px in a card of ${card.clientWidth} px: ${card.outerHTML.slice(0, 160)}` : null;
  }
  const wide = [...document.querySelectorAll("body *")].filter(
    e => e.getBoundingClientRect().right > edge + 1 && !e.closest(".results, .wide, .scrolling"));
  return `${root.scrollWidth} px: ` + wide.slice(0, 3).map(e => e.outerHTML.slice(0, 80)).join(" ");
}
"""


def program() -> str | None:
    """Return the path of Chromium; None if it is not installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Chromium:
    """A headless browser that the system provides: Playwright downloads none.

    Playwright runs an event loop, in which Django uses other database connections or refuses to query: so Playwright
    has its own thread, and its objects are used from here through proxies.
    """

    def __init__(self, executable: str) -> None:
        self._thread = Thread()
        self._playwright = self._thread.run(sync_playwright().start)
        launch = self._playwright.chromium.launch
        self._browser = self._thread.run(launch, executable_path=executable, args=list(FLAGS))

    @contextmanager
    def context(self, **options: Any) -> Iterator[BrowserContext]:
        """Return a new browser context without cookies."""
        made: Any = Apart(self._thread, self._thread.run(self._browser.new_context, **options))
        made.set_default_timeout(PATIENCE)
        yield made
        made.close()

    def quit(self) -> None:
        self._thread.run(self._browser.close)
        self._thread.run(self._playwright.stop)
        self._thread.end()


@dataclass
class Browser:
    """The browser of one person. Paths are those of `site`; other addresses are given completely."""

    context: BrowserContext
    site: str
    page: Page = field(init=False)
    _said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = self.context.new_page()
        self.page.on("console", lambda line: self._said.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self._said.append(str(error)))
        self._metrics = self.context.new_cdp_session(self.page.held)  # type: ignore[attr-defined]
        self.narrow(1280)

    def open(self, address: str) -> None:
        self.page.goto(urljoin(self.site, address))

    @property
    def address(self) -> str:
        return self.page.url

    @property
    def text(self) -> str:
        """Return the visible text of the page."""
        return self.page.locator("body").inner_text()

    def find(self, css: str) -> Locator:
        """Return the first matching element, which is waited for when it is used."""
        return self.page.locator(css).first

    def read(self, css: str) -> str:
        """Return the visible text of an element, each run of spaces as one."""
        return " ".join(self.find(css).inner_text().split())

    def has(self, css: str) -> bool:
        """Return True if such an element exists now, visible or not."""
        return self.page.locator(css).count() > 0

    def type(self, css: str, text: str) -> None:
        self.find(css).fill(text)

    def press(self, css: str) -> None:
        """Click, and wait until the page that follows is loaded."""
        self.context.thread.run(_press, self.page.held, css)  # type: ignore[attr-defined]

    def log_in(self, name: str, password: str) -> None:
        self.context.clear_cookies()
        self.open("/admin/")
        self.type("[name=username]", name)
        self.type("[name=password]", password)
        self.press("[type=submit]")

    def narrow(self, width: int, height: int = 900) -> None:
        """Resize the window to this many CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < PHONES}
        self._metrics.send("Emulation.setDeviceMetricsOverride", metrics)

    def overflow(self, width: int) -> str | None:
        """Return what is wider than the page or than its card; None if everything fits."""
        self.narrow(width)
        found = self.run(_OVERFLOW, width)
        return None if found is None else str(found)

    def run(self, script: str, argument: Any = None) -> Any:
        """Return the value of a script: an expression, or a function of one argument."""
        return self.page.evaluate(script, argument)

    def complaints(self) -> list[str]:
        """Return errors and policy violations since the last call, without advice to authors."""
        self.run("0")  # what the browser said before this answer has arrived by now
        complaints, self._said[:] = list(self._said), []
        return complaints


def _press(page: Page, css: str) -> None:
    with page.expect_navigation():
        page.locator(css).first.click()
