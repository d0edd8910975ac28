"""A real browser, driven the way a person drives it, and what it complains of."""

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
PATIENCE = 10_000  # ms until an element that does not come, or a page, fails the test

_OVERFLOW = """
width => {
  const root = document.documentElement, edge = root.clientWidth;
  if (root.scrollWidth <= width && edge <= width) return null;
  const wide = [...document.querySelectorAll("body *")].filter(
    e => e.getBoundingClientRect().right > edge + 1 && !e.closest(".results, .wide, .scrolling"));
  return `${root.scrollWidth} px: ` + wide.slice(0, 3).map(e => e.outerHTML.slice(0, 80)).join(" ");
}
"""


def program() -> str | None:
    """Where Chromium is, if it is here."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Chromium:
    """A headless browser, the system's own: Playwright downloads none.

    Playwright waits in an event loop, and Django keeps other connections to the database where one runs, or refuses
    to ask it: so Playwright has a thread of its own, and what it makes is used from here.
    """

    def __init__(self, executable: str) -> None:
        self._thread = Thread()
        self._playwright = self._thread.run(sync_playwright().start)
        launch = self._playwright.chromium.launch
        self._browser = self._thread.run(launch, executable_path=executable, args=list(FLAGS))

    @contextmanager
    def context(self, **options: Any) -> Iterator[BrowserContext]:
        """Somebody's browser with nothing of the others in it."""
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
    """One person's browser. Paths are those of `site`; what is elsewhere is named in full."""

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
        """What a person reads: hidden parts are not in it."""
        return self.page.locator("body").inner_text()

    def find(self, css: str) -> Locator:
        """The first of these, waited for when it is used."""
        return self.page.locator(css).first

    def read(self, css: str) -> str:
        """What a person reads of this element, each run of spaces as one."""
        return " ".join(self.find(css).inner_text().split())

    def has(self, css: str) -> bool:
        """Whether such an element is there now, shown or not."""
        return self.page.locator(css).count() > 0

    def type(self, css: str, text: str) -> None:
        self.find(css).fill(text)

    def press(self, css: str) -> None:
        """Click, and wait until the page that it leads to is there."""
        self.context.thread.run(_press, self.page.held, css)  # type: ignore[attr-defined]

    def log_in(self, name: str, password: str) -> None:
        self.context.clear_cookies()
        self.open("/admin/")
        self.type("[name=username]", name)
        self.type("[name=password]", password)
        self.press("[type=submit]")

    def narrow(self, width: int, height: int = 900) -> None:
        """The window, this many CSS pixels wide and high."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < PHONES}
        self._metrics.send("Emulation.setDeviceMetricsOverride", metrics)

    def overflow(self, width: int) -> str | None:
        """What is wider than the window and makes the whole page scroll sideways; None where nothing is."""
        self.narrow(width)
        found = self.run(_OVERFLOW, width)
        return None if found is None else str(found)

    def run(self, script: str, argument: Any = None) -> Any:
        """The value of a script: an expression, or a function of one argument."""
        return self.page.evaluate(script, argument)

    def complaints(self) -> list[str]:
        """Errors and violations of the page's policy since the last call. Advice to authors is left out."""
        self.run("0")  # what the browser said before this answer has arrived by now
        said, self._said[:] = list(self._said), []
        return said


def _press(page: Page, css: str) -> None:
    with page.expect_navigation():
        page.locator(css).first.click()
