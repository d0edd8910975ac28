"""Every screen, in both themes, on a desktop and on phones: accessible, within its window, and without scripts."""

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
from tests.support.wired_hub import connected_hub, wipe_database

WIDTHS = (1440, 390, 320)
TABLETS = (1024, 768)  # where only overflow is tested: their rules are those of the other widths
every_screen = pytest.mark.parametrize("screen", SCREENS, ids=[screen.name for screen in SCREENS])


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: Any, _services: tuple[IdentityService, ShopService]
) -> Iterator[Stage]:
    """Set once: screens are looked at, and nothing on them is pressed."""
    with django_db_blocker.unblock():
        with folder_for_exports(), connected_hub(*_services) as hub, served() as site:
            yield staged(hub, site, timezone.now())
        wipe_database()


@pytest.fixture(scope="module")
def looker(_chromium: Chromium, stage: Stage) -> Iterator[Browser]:
    with _chromium.context() as context:
        yield Browser(context, stage.site)


@pytest.fixture(scope="module")
def plain(_chromium: Chromium, stage: Stage) -> Iterator[Browser]:
    """Yield a browser without scripts."""
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
    return [
        complaint
        for complaint in browser.complaints()
        if f" {screen.status} " not in complaint or screen.status == 200
    ]


def find_problems(browser: Browser, theme: str, width: int) -> list[str]:
    """Return the problems in this theme and width: of all rules in the light theme, of colours in the dark one."""
    browser.page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    wide = browser.overflow(width)
    problems = violations(browser) if theme == "light" else violations_of_colours(browser)
    problems += [f"overflow: {wide}"] if wide else []
    return [f"{theme} {width}: {problem}" for problem in problems]


@pytest.mark.submission
@every_screen
def test_a_screen_is_accessible_in_every_theme_and_width(
    stage: Stage, looker: Browser, screen: Screen
) -> None:
    faults = show(looker, stage, screen)
    prepare(looker)
    for width in WIDTHS:
        for theme in ("light", "dark"):
            faults += find_problems(looker, theme, width)
    wide = [(width, looker.overflow(width)) for width in TABLETS]
    faults += [f"{width}: overflow: {what}" for width, what in wide if what]
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


# An image without a text, a text that is unreadable in the dark, and eight columns in one line each, beside the menu.
_BROKEN = """
() => {
  const added = document.createElement("p"), main = document.querySelector("main, #content");
  added.textContent = "unread in the dark";
  const colours = {color: "light-dark(black, #333)", background: "light-dark(white, #222)"};
  Object.assign(added.style, {colorScheme: "light dark", ...colours});
  main.append(added);
  main.insertAdjacentHTML("beforeend", '<img src="/static/console/icon.svg">');
  for (const row of document.querySelectorAll("table.list tr")) row.style.display = "table-row";
  for (const cell of document.querySelectorAll("table.list :is(td, th)"))
    cell.style.cssText = "display: table-cell; white-space: nowrap";
}
"""


@pytest.mark.nightly
@every_screen
def test_a_screen_works_without_scripts(stage: Stage, plain: Browser, screen: Screen) -> None:
    assert show(plain, stage, screen) == []
    assert plain.run("document.documentElement.classList.contains('with-scripts')") is False
    assert plain.run(_MISSING) == []


@pytest.mark.nightly
def test_faults_of_a_screen_are_reported(stage: Stage, looker: Browser) -> None:
    """Without this, checks that look at nothing would find nothing."""
    show(looker, stage, next(screen for screen in SCREENS if screen.name == "requests"))
    before = [looker.overflow(width) for width in TABLETS]
    looker.run(_BROKEN)
    prepare(looker)
    light, dark = find_problems(looker, "light", 390), find_problems(looker, "dark", 1440)
    after = [looker.overflow(width) for width in TABLETS]
    assert any(problem.startswith("light 390: image-alt: ") for problem in light)
    assert any(problem.startswith("dark 1440: color-contrast: ") for problem in dark)
    assert not any("color-contrast" in problem for problem in light)
    assert (before, [bool(what) for what in after]) == ([None, None], [True, True])
