"""The list of events on the first screen: how many rows it shows, and that each can be read and opened anywhere."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.browser.driver.chromium import Browser, Chromium
from tests.browser.driver.live_server import served
from tests.browser.stage.busy_hub import Stage, folder_for_exports, staged
from tests.support.wired_hub import connected_hub, wipe_database

pytestmark = pytest.mark.submission
FAILED = "/admin/webhooks/event/?state=dead"
# Of each row that is whole on the first screen: its height, its smallest type, and if 40 characters of a reason fit.
_ROWS = """
[...document.querySelectorAll("[data-row]")].filter(row => row.getBoundingClientRect().bottom <= innerHeight).map(row => {
  const styles = [".who", ".why", ".when"].map(name => getComputedStyle(row.querySelector(name)));
  const why = row.querySelector(".why"), pen = document.createElement("canvas").getContext("2d");
  pen.font = styles[1].font;
  const room = why.clientWidth - parseFloat(styles[1].paddingLeft) - parseFloat(styles[1].paddingRight);
  return {
    height: row.getBoundingClientRect().height,
    type: Math.min(...styles.map(style => parseFloat(style.fontSize))),
    fits: pen.measureText("The shop: “This e-mail address already b").width <= room,
  };
})
"""


@pytest.fixture
def looked_at(_chromium: Chromium) -> Chromium:
    return _chromium


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: Any, _services: tuple[IdentityService, ShopService]
) -> Iterator[Stage]:
    with django_db_blocker.unblock():
        with folder_for_exports(), connected_hub(*_services) as hub, served() as site:
            yield staged(hub, site, timezone.now())
        wipe_database()


def failed_list(looked_at: Chromium, stage: Stage, width: int, height: int, **options: Any) -> Any:
    context = looked_at.context(viewport={"width": width, "height": height}, **options)
    with context as opened:
        browser = Browser(opened, stage.site)
        stage.enter(browser, "support")
        browser.page.set_viewport_size({"width": width, "height": height})
        browser.open(FAILED)
        yield browser


def test_fourteen_failed_rows_of_one_line_are_on_the_first_screen(stage: Stage, looked_at: Chromium) -> None:
    for browser in failed_list(looked_at, stage, 1280, 800):
        rows = browser.run(_ROWS)
        assert len(rows) >= 14
        assert min(row["height"] for row in rows) >= 36
        assert min(row["type"] for row in rows) >= 14
        assert max(row["height"] for row in rows) < 40, "one line"
        assert all(row["fits"] for row in rows)


def test_five_failed_rows_are_on_the_first_screen_of_a_phone(stage: Stage, looked_at: Chromium) -> None:
    for browser in failed_list(looked_at, stage, 390, 844):
        rows = browser.run(_ROWS)
        assert len(rows) >= 5
        assert min(row["type"] for row in rows) >= 14
        for width in (390, 320):
            browser.page.set_viewport_size({"width": width, "height": 844})
            assert browser.run("document.querySelector('#header').offsetHeight") <= 110, "two rows"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_row_is_one_link_wherever_it_is_pressed(stage: Stage, looked_at: Chromium, scripts: bool) -> None:
    for browser in failed_list(looked_at, stage, 1280, 800, java_script_enabled=scripts):
        row = browser.page.locator("[data-row]").nth(2)
        assert row.locator("a a").count() == 0
        box = row.locator(".why").bounding_box()
        assert box is not None
        address = row.locator("a[data-open]").get_attribute("href")
        browser.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        browser.page.wait_for_url(f"**{address}")
        # The box and the person are not covered by it.
        browser.open(FAILED)
        row = browser.page.locator("[data-row]").nth(2)
        row.locator("input[type=checkbox]").check()
        row.locator(".who a").click()
        browser.page.wait_for_url("**/webhooks/entity/**")
