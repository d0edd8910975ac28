"""What every fault test needs: its marker, and the kind of database said once."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: kills processes and breaks the hub; `make faults` takes them")


@pytest.fixture(scope="session")
def is_postgresql() -> bool:
    return os.environ.get("HUB_TEST_DATABASE", "sqlite") == "postgresql"


@pytest.fixture(scope="session")
def is_long() -> bool:
    """HUB_FAULTS=long: the nightly sizes."""
    return os.environ.get("HUB_FAULTS") == "long"
