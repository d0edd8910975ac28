"""Every export of these tests is written below the test's own folder."""

import pytest

from exports.bundle import builder
from tests.support.export_folder import exports

__all__ = ["exports", "small_chunks"]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configure chunks of two events, each recorded at once."""
    monkeypatch.setattr(builder, "CHUNK_SIZE", 2)
    monkeypatch.setattr(builder, "SAVE_SECONDS", 0.0)
