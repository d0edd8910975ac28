"""The folder for exports, below the test's own folder."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def exports(settings: Any, tmp_path: Path) -> Path:
    """The folder for exports. Used by every test of the folders whose conftest names it."""
    settings.EXPORT_FOLDER = str(tmp_path / "exports")
    return tmp_path / "exports"
