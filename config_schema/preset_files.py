"""Preset files: settings of known systems as data, each with where it comes from and what it needs. Pure."""

import json
import re
from pathlib import Path
from typing import TypeVar

from config_schema.declared import Declared, setting
from config_schema.errors import SettingsInvalid
from config_schema.kinds import Choice, Text, TextList
from config_schema.objects import Object
from config_schema.rules import Fits, Requires

T = TypeVar("T")

REAL_SYSTEM, DOCUMENTATION = "real system", "documentation"


class PresetMetadata(Declared):
    """Requirements and origin of a preset: what every preset file has beside the settings of its kind."""

    label: str = setting(Text(), "The name of the system, as people search for it.", example="Acme ID")
    needs: tuple[str, ...] = setting(
        TextList(),
        "What must be known or set up first: secrets, addresses, settings at the vendor. One sentence each.",
        example=["A token of the API, with the permission to read users."],
    )
    page: str = setting(
        Text(
            re.compile(r"https://[a-z0-9.-]+(/[A-Za-z0-9._~%/+@=&?#-]*)?|docs/[a-z-]+\.md"),
            "an address that begins with `https://`, or a page of the hub such as `docs/connect.md`",
            "This must be the address of a page, beginning with https://, or a page in docs/.",
        ),
        "The page of the vendor's documentation that the preset follows.",
        example="https://docs.example.com/webhooks",
    )
    follows: str = setting(
        Text(),
        "The version that the preset follows, or the day on which the page was read.",
        example="read 2026-11-28",
    )
    tested: str = setting(
        Choice((REAL_SYSTEM, DOCUMENTATION)),
        "Where its samples come from: recorded from a real system, or taken from the documentation.",
        example=DOCUMENTATION,
    )

    rules = (
        Requires(
            sentence="`needs` must not be empty.",
            then=Fits("needs", {"minItems": 1}, bool),
            at="needs",
        ),
    )

    @property
    def is_public_page(self) -> bool:
        """True if `page` is an address on the web."""
        return self.page.startswith("https://")

    @property
    def is_tested(self) -> bool:
        """True if the preset was tested with the real system."""
        return self.tested == REAL_SYSTEM


def read_preset_files(folder: Path, kind: Object[T]) -> dict[str, T]:
    """Return the presets of all JSON files in a folder by the name of the file. Raises SettingsInvalid, with the name
    of the file first in its place.
    """
    return {path.stem: _read_file(path, kind) for path in sorted(folder.glob("*.json"))}


def _read_file(path: Path, kind: Object[T]) -> T:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise SettingsInvalid((path.name,), "This is not JSON.") from None
    return kind.read(document, (path.name,))
