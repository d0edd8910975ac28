"""What every test may use: a database with real commits, and the two stand-in services over real HTTP."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from sync.execution.executor import run_due_deliveries
from tests.support.database.template_database import copied_database
from tests.support.hub import SIGNING_SECRET, Hub
from tests.support.simultaneous_webhooks import Together
from tests.support.wired_hub import joined, wipe
from webhooks.receiving import refusals

settings.KEEP_TO_ONE_CORE = False  # some tests load the WSGI application into this process
settings.PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher"
]  # a slow one costs 0.3 s a login
settings.WHITENOISE_AUTOREFRESH = True  # each new client would read all static files again


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[None]:
    """The database of this process, made for tests that ask for `database` as well as for those that ask for `db`."""
    if connection.vendor == "sqlite":  # a power cut is for hubs in processes of their own, and they sync
        connection.settings_dict["OPTIONS"]["init_command"] += "; PRAGMA synchronous=OFF"
    with copied_database(tmp_path_factory.mktemp("database")) as name:
        connection.settings_dict["NAME"] = settings.DATABASES["default"]["NAME"] = name
        yield
        with django_db_blocker.unblock():
            _close_wake_ups()
            connections.close_all()
            if connection.vendor == "postgresql":
                connection.close_pool()  # type: ignore[attr-defined]


def _close_wake_ups() -> None:
    """Cut the connections by which this process notified workers: no database is dropped under them."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE '%wake-ups'"
            )


@pytest.fixture(autouse=True)
def _nothing_refused() -> Iterator[None]:
    """What one test added up is of another one's database."""
    yield
    refusals.forget()


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Commits are real, threads see them, and everything is wiped afterwards."""
    with django_db_blocker.unblock():
        yield
        wipe()
        connections.close_all()


@pytest.fixture(scope="session")
def _services() -> Iterator[tuple[IdentityService, ShopService]]:
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        yield identity, shop


@pytest.fixture
def hub(database: None, _services: tuple[IdentityService, ShopService]) -> Iterator[Hub]:
    """The hub joined to the stand-in services, as `make run` joins them."""
    with joined(*_services) as hub:
        yield hub


@pytest.fixture
def together(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Together]:
    """Sends webhooks at the same time; what was sent is delivered in the end."""
    yield Together(hub, monkeypatch)
    run_due_deliveries()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI says that it has everything, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of what this database cannot show, or has shown no less than the other one."""
    beyond = ("writers_at_once",) if connection.vendor == "sqlite" else ("only_sqlite", "one_database")
    others = [item for item in items if any(map(item.get_closest_marker, beyond))]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
