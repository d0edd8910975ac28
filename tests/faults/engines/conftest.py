"""Settings of tests that start Celery workers, whatever the engine of the run."""

import pytest


@pytest.fixture(autouse=True)
def _workers_are_marked() -> None:
    """Disable the check of the mark: these tests choose their engine themselves."""
