"""The browser, the running hub that it looks at, and the people who use it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.driver import chromium
from tests.browser.driver.chromium import Browser, Chromium
from tests.browser.driver.live_server import served
from tests.support.hub import Hub
from tests.support.people import person

HERE = Path(__file__).parent
PASSWORD = "correct horse battery staple"

LogIn = Callable[[str], Browser]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every test of this folder needs the browser; a page is the same over either database, so one is enough."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.browser)
    if os.environ.get("HUB_TEST_DATABASE") == "postgresql":
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if HERE not in item.path.parents]


@pytest.fixture(scope="session")
def _chromium() -> Iterator[Chromium]:
    """One browser for all tests; each test has a context of its own."""
    executable = chromium.program()
    if executable is None:
        pytest.skip("Chromium is not on the PATH")
    started = Chromium(executable)
    yield started
    started.quit()


@pytest.fixture
def options() -> dict[str, Any]:
    """What is different about this browser, as Playwright says it."""
    return {}


@pytest.fixture
def browser(_chromium: Chromium, hub: Hub, options: dict[str, Any]) -> Iterator[Browser]:
    """A browser without cookies before a running hub, to which the identity service sends its webhooks.

    A test fails where the browser complained of anything that the test did not ask for.
    """
    with served() as site, _chromium.context(**options) as context:
        hub.identity.sender.change_settings(
            {"signed_url": f"{site}/webhooks/aurora", "unsigned_url": f"{site}/webhooks/aurora-unsigned"}
        )
        browser = Browser(context, site)
        yield browser
        unasked = browser.complaints()
    assert unasked == []


@pytest.fixture
def log_in(browser: Browser) -> LogIn:
    """Makes a member of the group (of none: a superuser) and logs in with name and password."""

    def enter(role: str) -> Browser:
        user = person(role)
        user.set_password(PASSWORD)
        user.save()
        browser.log_in(user.username, PASSWORD)
        return browser

    return enter
