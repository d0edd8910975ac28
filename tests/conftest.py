"""Fixtures of every test: a database with real commits, and the two stand-in services over real HTTP."""

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.internal.conjecture import providers

import integration_hub.urls  # noqa: F401 - the pages of the console, as in a web process
from logins import attempt_counts, guard
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from sync.execution.executor import run_due_deliveries
from tests.support.database.template_database import begin_template, copied_database
from tests.support.hub import SIGNING_SECRET, Hub
from tests.support.shared_bytecode import import_test_modules
from tests.support.simultaneous_webhooks import SimultaneousWebhooks
from tests.support.wired_hub import connected_hub, wipe_database
from tests.tiers.selection import left_out_rows, mark_later_rows, mark_listed_tests
from webhooks.receiving import refusals

# What is collected stays: each process would look through it for garbage again and again.
gc.disable()

# How fast a busy machine generates and runs examples says nothing about the hub. `make nightly` alone draws new ones.
ALL_ROWS = os.environ.get("HUB_TEST_ROWS") == "all"
hypothesis_settings.register_profile(
    "hub", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=not ALL_ROWS
)
hypothesis_settings.load_profile("hub")
if not ALL_ROWS:
    # Examples made of the constants in the code would be others after each change of it, and each process would have to
    # parse all modules first.
    providers._get_local_constants = lambda: providers._local_constants

settings.KEEP_TO_ONE_CORE = False  # some tests load the WSGI application into this process
settings.PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher"
]  # a slow one costs 0.3 s a login
settings.WHITENOISE_AUTOREFRESH = True  # each new client would read all static files again


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[None]:
    """Create the database of this process. Replaces the fixture of pytest-django, so that `db` uses it too."""
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
    """Terminate the connections by which this process notified workers: they would keep the database from being dropped."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE '%wake-ups'"
            )


@pytest.fixture(autouse=True)
def _nothing_refused() -> Iterator[None]:
    """Reset the counts of refusals that are kept in this process: each test has a database of its own."""
    yield
    refusals.reset_counts()
    attempt_counts.reset_counts()
    guard.forget_refusals()


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Give access to a database in which commits are real and visible to other threads; empty it afterwards."""
    with django_db_blocker.unblock():
        yield
        wipe_database()
        connections.close_all()


@pytest.fixture(scope="session")
def _services() -> Iterator[tuple[IdentityService, ShopService]]:
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        yield identity, shop


@pytest.fixture
def hub(database: None, _services: tuple[IdentityService, ShopService]) -> Iterator[Hub]:
    """Yield a hub that is connected to the stand-in services, as `make run` connects them."""
    with connected_hub(*_services) as hub:
        yield hub


@pytest.fixture
def together(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimultaneousWebhooks]:
    """Yield a sender of simultaneous webhooks; deliver them at the end of the test."""
    yield SimultaneousWebhooks(hub, monkeypatch)
    run_due_deliveries()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Migrate the template of the databases while the workers collect their tests."""
    if getattr(session.config.option, "numprocesses", None):
        begin_template()


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Before a worker collects its tests, compile their modules together with the other workers."""
    import_test_modules(session.config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Look for garbage from now on, but not in what the collection left."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a test was skipped on CI, which has every optional program."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the skipped tests that fail a run on CI."""
    if os.environ.get("CI"):
        for report in terminalreporter.stats.get("skipped", []):
            terminalreporter.write_line(
                f"SKIPPED, which fails a run on CI: {report.nodeid}: {report.longrepr}"
            )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what this database cannot run, what one database shows alone, and rows of long tables."""
    mark_listed_tests(items)
    mark_later_rows(items)
    beyond = (
        ("writers_at_once", "only_postgresql")
        if connection.vendor == "sqlite"
        else ("only_sqlite", "one_database")
    )
    others = {item for item in items if any(map(item.get_closest_marker, beyond))} | left_out_rows(items)
    if others:
        config.hook.pytest_deselected(items=list(others))
        items[:] = [item for item in items if item not in others]
