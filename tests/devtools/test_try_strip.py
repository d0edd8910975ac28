"""The strip *Try* exists in development only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from tests.support.hub import Hub
from tests.support.people import person

ROOT = Path(__file__).resolve().parents[2]
_PRINT_SETTINGS = "from devtools import console_settings as s; print(s.ROOT_URLCONF, *s.TEMPLATES[0]['DIRS'])"


@pytest.mark.one_database
def test_a_production_hub_has_neither_the_strip_nor_its_addresses(hub: Hub) -> None:
    client = Client()
    client.force_login(person("support"))
    assert "try-strip" not in client.get("/admin/").content.decode()
    assert client.post("/admin/try/break/").status_code == 404
    with pytest.raises(NoReverseMatch):
        reverse("try", args=["break"])


@pytest.mark.pure
@pytest.mark.parametrize("debug", ["off", "on"])
def test_the_settings_of_make_run_add_it_with_debug_on_alone(debug: str) -> None:
    printed = subprocess.run(
        [sys.executable, "-c", _PRINT_SETTINGS],
        cwd=ROOT,
        env={**os.environ, "DEBUG": debug},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ("devtools" in printed) == (debug == "on")
