"""The command of `make screenshots`: a picture of every screen below var/screens, on a desktop, on a phone and in the
dark theme; those that the documentation shows are written to docs/screens too.

Randomness is seeded; times are those of the run, because pages use the clock of the database too.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.test.utils import setup_databases, setup_test_environment, teardown_databases
from django.utils import timezone
from PIL import Image

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.browser.driver.chromium import Browser, Chromium, program
from tests.browser.driver.live_server import served
from tests.browser.stage.busy_hub import Stage, folder_for_exports, staged
from tests.browser.stage.screens import SCREENS, Screen
from tests.support.hub import SIGNING_SECRET
from tests.support.wired_hub import connected_hub

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "var" / "screens"
DOCUMENTED = ROOT / "docs" / "screens"
# The pictures that README.md and docs/screens/README.md show.
SHOWN = (
    *("difference-desktop", "replay-desktop", "export-made-desktop"),
    *("overview-desktop", "events-desktop", "event-failed-phone", "failure-desktop", "entity-dark"),
)
KINDS = {"desktop": ("light", 1440, 900), "phone": ("light", 390, 844), "dark": ("dark", 1440, 900)}
MAX_BYTES = 500_000  # of the pictures in the documentation
TALLEST = {"desktop": 1800, "phone": 3200, "dark": 1800}  # px; what is below is more of the same
_STILL = "*, *::before, *::after { transition: none !important; animation: none !important; caret-color: transparent !important; }"


def main(names: list[str]) -> None:
    """Take the pictures of these screens, or of all if none is named."""
    executable = program()
    if executable is None:
        sys.exit("Chromium is not on the PATH")
    chosen = [screen for screen in SCREENS if not names or screen.name in names]
    FOLDER.mkdir(parents=True, exist_ok=True)
    chromium = Chromium(executable)
    try:
        with set_stage() as stage, chromium.context(bypass_csp=True, reduced_motion="reduce") as context:
            browser = Browser(context, stage.site)
            for screen in chosen:
                take_pictures(browser, stage, screen)
                print(screen.name, flush=True)
    finally:
        chromium.quit()
    check_size()


@contextmanager
def set_stage() -> Iterator[Stage]:
    """Set up the stage in a separate database."""
    setup_test_environment()
    made = setup_databases(verbosity=0, interactive=False)
    try:
        with (
            IdentityService(secret=SIGNING_SECRET) as identity,
            ShopService() as shop,
            connected_hub(identity, shop) as hub,
            served() as site,
            folder_for_exports(),
        ):
            yield staged(hub, site, timezone.now())
    finally:
        teardown_databases(made, verbosity=0)


def take_pictures(browser: Browser, stage: Stage, screen: Screen) -> None:
    """Take the pictures of one screen. It is opened once, so that all of them show the same."""
    address = screen.address(stage)
    stage.enter(browser, screen.role)
    browser.open(address)
    browser.page.add_style_tag(content=_STILL)
    for kind, (theme, width, height) in KINDS.items():
        browser.page.emulate_media(color_scheme=theme)
        browser.page.set_viewport_size({"width": width, "height": height})
        tall = min(int(browser.run("document.documentElement.scrollHeight")), TALLEST[kind])
        browser.page.set_viewport_size({"width": width, "height": max(tall, height)})
        picture = Image.open(io.BytesIO(browser.page.screenshot(scale="css"))).convert("RGB")
        name = f"{screen.name}-{kind}"
        for folder in (FOLDER, *([DOCUMENTED] if name in SHOWN else [])):
            picture.save(folder / f"{name}.webp", lossless=True, method=6)


def check_size() -> None:
    """Print the size of the documented pictures. Raises SystemExit if they are too large for a clone."""
    size = sum(picture.stat().st_size for picture in DOCUMENTED.glob("*.webp"))
    print(f"Pictures of every screen: {FOLDER}. In the documentation: {size / 1e6:.1f} MB")
    if size > MAX_BYTES:
        sys.exit(f"That is more than {MAX_BYTES / 1e6:.1f} MB.")


if __name__ == "__main__":
    main(sys.argv[1:])
