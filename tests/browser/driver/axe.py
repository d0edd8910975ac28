"""What axe-core finds wrong with a page."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT

from tests.browser.driver.chromium import Browser

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_RUN = """
async tags => {
  const still = Promise.allSettled(document.getAnimations().map(each => each.finished));
  await Promise.race([still, new Promise(ended => setTimeout(ended, 1000))]);
  const found = await axe.run(document, {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]});
  return found.violations.map(each => `${each.id}: ` + each.nodes.slice(0, 3).map(
    node => `${node.target} ${node.html.slice(0, 120)}` + (node.any[0] ? ` (${node.any[0].message})` : "")).join(" | "));
}
"""


def prepare(browser: Browser) -> None:
    """Load axe into the page that is open: past its policy, as a person's extension would."""
    browser.run(AXE_SCRIPT + ";0")


def violations(browser: Browser) -> list[str]:
    """Of the page as it looks now; `prepare` it first."""
    found: Any = browser.run(_RUN, list(TAGS))
    return list(found)
