"""The packages that the hub runs on are pinned, at versions without known faults."""

import re
from pathlib import Path

import pytest
from packaging.version import Version

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parents[2]
# The first versions without a fault that concerns the hub.
LOWEST = {"django": "5.2.19", "urllib3": "2.8.0", "requests": "2.34.2", "djangorestframework": "3.18.3"}


@pytest.mark.promise("T31")
@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-run.txt", "requirements-celery.txt", "requirements-dev.txt"]
)
def test_every_package_is_pinned_and_none_is_older_than_its_last_known_fault(name: str) -> None:
    lines = [line.partition(" #")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    required = [line for line in lines if line and not line.startswith(("#", "-r"))]
    pins = [re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)(?:\s*;.*)?", line) for line in required]
    assert [line for line, pin in zip(required, pins, strict=True) if pin is None] == []
    versions = {pin[1].lower(): Version(pin[2]) for pin in pins if pin}
    old = {
        package
        for package, lowest in LOWEST.items()
        if versions.get(package, Version("999")) < Version(lowest)
    }
    assert old == set()
    assert name != "requirements.txt" or set(LOWEST) <= set(versions)
