"""Which of these tests a database can run."""

import pytest
from django.db import connection


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where there is one writer at a time, what needs two is not part of the suite."""
    if connection.vendor == "postgresql":
        return
    alone = [item for item in items if item.get_closest_marker("writers_at_once")]
    if alone:
        config.hook.pytest_deselected(items=alone)
        items[:] = [item for item in items if item not in alone]
