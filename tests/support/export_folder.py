"""A fixture that puts exports into the test's own folder."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def exports(settings: Any, tmp_path: Path) -> Path:
    """Return the folder for exports. Applies to all tests of a folder whose conftest imports it."""
    settings.EXPORT_FOLDER = str(tmp_path / "exports")
    return tmp_path / "exports"
