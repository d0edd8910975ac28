"""Every export of these tests is written below the test's own folder; which of them a database can run."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about SQLite's write-ahead log is no part of the suite on PostgreSQL."""
    if connection.vendor == "sqlite":
        return
    alone = [item for item in items if item.get_closest_marker("log_of_sqlite")]
    if alone:
        config.hook.pytest_deselected(items=alone)
        items[:] = [item for item in items if item not in alone]


@pytest.fixture(autouse=True)
def exports(settings: Any, tmp_path: Path) -> Path:
    """The folder for exports."""
    settings.EXPORT_FOLDER = str(tmp_path / "exports")
    return tmp_path / "exports"
