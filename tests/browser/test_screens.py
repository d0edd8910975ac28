"""Every screen, in both themes, on a desktop and on phones: accessible, within its window, and without a script too."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.browser.driver.axe import prepare, violations, violations_of_colours
from tests.browser.driver.chromium import Browser, Chromium
from tests.browser.driver.live_server import served
from tests.browser.stage.busy_hub import Stage, folder_for_exports, staged
from tests.browser.stage.screens import SCREENS, Screen
from tests.support.wired_hub import joined, wipe

WIDTHS = (1440, 390, 320)
every_screen = pytest.mark.parametrize("screen", SCREENS, ids=[each.name for each in SCREENS])


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: Any, _services: tuple[IdentityService, ShopService]
) -> Iterator[Stage]:
    """Set once: screens are looked at, and nothing on them is pressed."""
    with django_db_blocker.unblock():
        with folder_for_exports(), joined(*_services) as hub, served() as site:
            yield staged(hub, site, timezone.now())
        wipe()


@pytest.fixture(scope="module")
def looker(_chromium: Chromium, stage: Stage) -> Iterator[Browser]:
    with _chromium.context() as context:
        yield Browser(context, stage.site)


@pytest.fixture(scope="module")
def plain(_chromium: Chromium, stage: Stage) -> Iterator[Browser]:
    """A browser that runs no script."""
    with _chromium.context(java_script_enabled=False) as context:
        yield Browser(context, stage.site)


def show(browser: Browser, stage: Stage, screen: Screen) -> list[str]:
    """Open the screen as the person whose it is; what the browser complained of."""
    browser.narrow(1440)
    browser.page.emulate_media(color_scheme="light")
    address = screen.address(stage)
    stage.enter(browser, screen.role)
    browser.complaints()  # axe, too, offends the policy of the page that it looks at
    answer = browser.page.goto(stage.site + address)
    assert answer is not None
    assert answer.status == screen.status
    return [each for each in browser.complaints() if f" {screen.status} " not in each or screen.status == 200]


def look(browser: Browser, theme: str, width: int) -> list[str]:
    """What is wrong in this theme and width, of all rules in the light one and of colours alone in the dark one."""
    browser.page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    wide = browser.overflow(width)
    found = violations(browser) if theme == "light" else violations_of_colours(browser)
    found += [f"overflow: {wide}"] if wide else []
    return [f"{theme} {width}: {each}" for each in found]


@every_screen
def test_a_screen_is_accessible_and_fits_a_phone(stage: Stage, looker: Browser, screen: Screen) -> None:
    faults = show(looker, stage, screen)
    prepare(looker)
    faults += look(looker, "light", 390)
    wide = looker.overflow(320)
    faults += [f"320: overflow: {wide}"] if wide else []
    assert not faults, "\n".join(faults)


@pytest.mark.slow
@every_screen
def test_a_screen_is_accessible_in_every_theme_and_width(
    stage: Stage, looker: Browser, screen: Screen
) -> None:
    faults = show(looker, stage, screen)
    prepare(looker)
    for width in WIDTHS:
        for theme in ("light", "dark"):
            faults += look(looker, theme, width)
    assert not faults, "\n".join(faults)


_MISSING = """
() => {
  const missing = [];
  if (document.querySelectorAll("h1").length !== 1) missing.push("one h1");
  if (!document.querySelector("h1")?.innerText.trim()) missing.push("words in the h1");
  const main = document.querySelector("main, #content");
  if ((main?.innerText ?? "").trim().length < 20) missing.push("content");
  for (const form of document.querySelectorAll("form")) {
    if (!form.querySelector("input:not([type=hidden]), select, textarea, button")) continue;
    const button = form.querySelector("[type=submit], button:not([type])")
      ?? document.querySelector(`[form="${form.id}"]`);
    if (!button) missing.push("a button of " + form.outerHTML.slice(0, 80));
  }
  return missing;
}
"""


@every_screen
def test_a_screen_works_without_scripts(stage: Stage, plain: Browser, screen: Screen) -> None:
    assert show(plain, stage, screen) == []
    assert plain.run("document.documentElement.classList.contains('with-scripts')") is False
    assert plain.run(_MISSING) == []


def test_axe_tells_of_what_is_wrong(stage: Stage, looker: Browser) -> None:
    """Without this, an axe that looks at nothing would find nothing."""
    show(looker, stage, SCREENS[0])
    looker.run(
        "() => document.querySelector('main, #content').insertAdjacentHTML('beforeend', '<img src=\"/static/console/icon.svg\">')"
    )
    prepare(looker)
    assert any(each.startswith("light 390: image-alt: ") for each in look(looker, "light", 390))


_UNREADABLE = """
() => {
  const added = document.createElement("p");
  added.textContent = "unread in the dark";
  const colours = {color: "light-dark(black, #333)", background: "light-dark(white, #222)"};
  Object.assign(added.style, {colorScheme: "light dark", ...colours});
  document.querySelector("main, #content").append(added);
}
"""


def test_axe_tells_of_colours_that_only_the_dark_theme_has(stage: Stage, looker: Browser) -> None:
    show(looker, stage, SCREENS[0])
    looker.run(_UNREADABLE)
    prepare(looker)
    assert look(looker, "light", 1440) == []
    assert any(each.startswith("dark 1440: color-contrast: ") for each in look(looker, "dark", 1440))
