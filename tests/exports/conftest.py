"""Every export of these tests is written below the test's own folder."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def exports(settings: Any, tmp_path: Path) -> Path:
    """The folder for exports."""
    settings.EXPORT_FOLDER = str(tmp_path / "exports")
    return tmp_path / "exports"
