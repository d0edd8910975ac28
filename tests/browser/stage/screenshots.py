"""The command of `make screenshots`: a picture of every screen for the documentation, on a desktop, on a phone and in
the dark theme.

Randomness is seeded; times are those of the run, because pages use the clock of the database too.
"""

import io
import sys
from collections import Counter
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

FOLDER = Path(__file__).parents[3] / "docs" / "screens"
KINDS = {"desktop": ("light", 1440, 900), "phone": ("light", 390, 844), "dark": ("dark", 1440, 900)}
MAX_BYTES = 9_000_000
TALLEST = {"desktop": 1800, "phone": 3200, "dark": 1800}  # px; what is below is more of the same
COLOURS = 96
_STILL = "*, *::before, *::after { transition: none !important; animation: none !important; caret-color: transparent !important; }"


def main(names: list[str]) -> None:
    """Take the pictures of these screens, of all without a name, and write the page that shows them."""
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
    write_index()


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
        in_few_colours(picture).save(FOLDER / f"{screen.name}-{kind}.png", optimize=True)


def in_few_colours(picture: Image.Image) -> Image.Image:
    """Reduce the colours of a picture to shrink its file. Each remaining colour is one that most of its pixels had."""
    # The colours that are far from others, not those of the most area: a warning is small, and is no error.
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette: dict[int, tuple[int, int, int]] = {}
    for (place, colour), _ in Counter(
        zip(few.get_flattened_data(), picture.get_flattened_data(), strict=True)
    ).most_common():
        palette.setdefault(place, colour)
    few.putpalette([part for place in range(COLOURS) for part in palette.get(place, (0, 0, 0))])
    return few


def write_index() -> None:
    """Write a table of the pictures, and delete pictures of screens that no longer exist."""
    known = {f"{screen.name}-{kind}.png" for screen in SCREENS for kind in KINDS}
    for picture in FOLDER.glob("*.png"):
        if picture.name not in known:
            picture.unlink()
    lines = [
        "# Every screen of the console",
        "",
        '`make screenshots` takes these pictures, with an invented history; `ARGS="events replay"` takes those alone.',
        "",
        "| Screen | Who | Desktop | Phone | Dark |",
        "|---|---|---|---|---|",
    ]
    for screen in SCREENS:
        pictures = [f"{screen.name}-{kind}.png" for kind in KINDS]
        cells = [
            f"[![{screen.title}, {kind}]({name})]({name})" for kind, name in zip(KINDS, pictures, strict=True)
        ]
        lines.append(f"| {screen.title} | {screen.role or 'everyone'} | {' | '.join(cells)} |")
    (FOLDER / "README.md").write_text("\n".join(lines) + "\n")
    size = sum(picture.stat().st_size for picture in FOLDER.glob("*.png"))
    print(f"{len(list(FOLDER.glob('*.png')))} pictures, {size / 1e6:.1f} MB")
    if size > MAX_BYTES:
        sys.exit(f"That is more than {MAX_BYTES / 1e6:.1f} MB.")


if __name__ == "__main__":
    main(sys.argv[1:])
