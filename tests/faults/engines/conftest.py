"""These tests start Celery workers, whatever the engine of the run."""

import pytest


@pytest.fixture(autouse=True)
def _workers_are_marked() -> None:
    """Ask for no mark: `make faults` runs these tests once for each database."""
