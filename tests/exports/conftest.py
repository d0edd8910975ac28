"""Every export of these tests is written below the test's own folder."""

from pathlib import Path
from typing import Any

import pytest

from integration_hub.console.exporting import making


@pytest.fixture(autouse=True)
def exports(settings: Any, tmp_path: Path) -> Path:
    """The folder for exports."""
    settings.EXPORT_FOLDER = str(tmp_path / "exports")
    return tmp_path / "exports"


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two events a chunk, each noted at once."""
    monkeypatch.setattr(making, "CHUNK", 2)
    monkeypatch.setattr(making, "NOTE_SECONDS", 0.0)
