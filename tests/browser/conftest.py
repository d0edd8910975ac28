"""Fixtures: the browser, the running hub that it opens, and the people who use it."""

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
    """Mark all tests of this folder: they need the browser, and one database is enough for pages."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.browser)
        item.add_marker(pytest.mark.concurrent)
    if os.environ.get("HUB_TEST_DATABASE") == "postgresql":
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if HERE not in item.path.parents]


@pytest.fixture(scope="session")
def _chromium() -> Iterator[Chromium]:
    """Yield one browser for all tests; each test has its own context."""
    executable = chromium.program()
    if executable is None:
        pytest.skip("Chromium is not on the PATH")
    started = Chromium(executable)
    yield started
    started.quit()


@pytest.fixture
def options() -> dict[str, Any]:
    """Return the Playwright options of this browser."""
    return {}


@pytest.fixture
def browser(_chromium: Chromium, hub: Hub, options: dict[str, Any]) -> Iterator[Browser]:
    """Yield a browser without cookies and a running hub, to which the identity service sends its webhooks.

    Fails the test if the browser reported any complaint that the test did not read.
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
    """Return a function that creates a member of a group (without one: a superuser) and logs in with password."""

    def enter(role: str) -> Browser:
        user = person(role)
        user.set_password(PASSWORD)
        user.save()
        browser.log_in(user.username, PASSWORD)
        return browser

    return enter
