"""Accessibility checks of a page with axe-core."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT

from tests.browser.driver.chromium import Browser

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast", "link-in-text-block")  # what a theme changes; the rest is the same document
_RUN = """
async only => {
  const still = Promise.allSettled(document.getAnimations().map(animation => animation.finished));
  await Promise.race([still, new Promise(ended => setTimeout(ended, 1000))]);
  const found = await axe.run(document, {runOnly: only, resultTypes: ["violations"]});
  return found.violations.map(violation => `${violation.id}: ` + violation.nodes.slice(0, 3).map(
    node => `${node.target} ${node.html.slice(0, 120)}` + (node.any[0] ? ` (${node.any[0].message})` : "")).join(" | "));
}
"""


def prepare(browser: Browser) -> None:
    """Load axe into the open page despite its content security policy, as a browser extension would."""
    browser.run(AXE_SCRIPT + ";0")


def violations(browser: Browser) -> list[str]:
    """Return the violations on the page as it looks now; requires `prepare`."""
    result: Any = browser.run(_RUN, {"type": "tag", "values": list(TAGS)})
    return list(result)


def violations_of_colours(browser: Browser) -> list[str]:
    """Return the violations of rules that depend on the theme, at a fraction of the cost of all."""
    result: Any = browser.run(_RUN, {"type": "rule", "values": list(COLOURS)})
    return list(result)
