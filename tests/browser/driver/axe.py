"""What axe-core finds wrong with a page."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT

from tests.browser.driver.chromium import Browser

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast", "link-in-text-block")  # what a theme changes; the rest is the same document
_RUN = """
async only => {
  const still = Promise.allSettled(document.getAnimations().map(each => each.finished));
  await Promise.race([still, new Promise(ended => setTimeout(ended, 1000))]);
  const found = await axe.run(document, {runOnly: only, resultTypes: ["violations"]});
  return found.violations.map(each => `${each.id}: ` + each.nodes.slice(0, 3).map(
    node => `${node.target} ${node.html.slice(0, 120)}` + (node.any[0] ? ` (${node.any[0].message})` : "")).join(" | "));
}
"""


def prepare(browser: Browser) -> None:
    """Load axe into the page that is open: past its policy, as a person's extension would."""
    browser.run(AXE_SCRIPT + ";0")


def violations(browser: Browser) -> list[str]:
    """Of the page as it looks now; `prepare` it first."""
    found: Any = browser.run(_RUN, {"type": "tag", "values": list(TAGS)})
    return list(found)


def violations_of_colours(browser: Browser) -> list[str]:
    """Of the rules that another theme may break, at a fraction of the cost of all."""
    found: Any = browser.run(_RUN, {"type": "rule", "values": list(COLOURS)})
    return list(found)
