"""`python -m devtools makemessages`: Django's command, which also extracts the texts of pure packages, of the catalogue
of codes and of presets.
"""

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.commands import makemessages

from config_schema.codes.messages import default_connection_name


class CatalogueFile(makemessages.BuildFile):
    """A source file of texts. A file of data is converted to calls of gettext, which xgettext can read."""

    def preprocess(self) -> None:
        readers = {".toml": _read_codes, ".json": _read_preset}
        path = Path(self.path)
        if path.suffix not in readers:
            super().preprocess()
            return
        texts = readers[path.suffix](path)
        Path(self.work_path).write_text("\n".join(f"gettext({text!r})" for text in texts), "utf-8")


def _read_codes(path: Path) -> Iterable[str]:
    """Return the texts of a language of the catalogue of codes."""
    for entry in tomllib.loads(path.read_text("utf-8")).values():
        yield from entry.values()
    yield from (default_connection_name("en", "identity"), default_connection_name("en", "target"))


def _read_preset(path: Path) -> Iterable[str]:
    """Return the label and the needs of a preset and the labels of its fields, and nothing of another JSON file."""
    if path.parent.name == "presets":
        preset = json.loads(path.read_text("utf-8"))
        yield from (preset["label"], *preset["needs"])
        for fields in preset.get("accepts", {}).values():
            yield from (field["label"] for field in fields if "label" in field)


# Functions and classes of pure packages, with the number of the argument that is a text. Where it is not a literal,
# `translatable` makes it.
KEYWORDS = (
    "translatable",
    "translatable_plural:1,2",
    "SettingsInvalid:2",
    "setting:2",
    "nullable:2",
    "Requires",
    "CodeRule",
    "variant",
    "FieldSetting",
    "Credential",
)


class Command(makemessages.Command):
    build_file_class = CatalogueFile
    xgettext_options = [*makemessages.Command.xgettext_options, *(f"--keyword={name}" for name in KEYWORDS)]

    def handle(self, *args: Any, **options: Any) -> None:
        options["extensions"] = options["extensions"] or ["html", "txt", "py", "toml", "json"]
        # The other languages of the catalogue are translations already.
        ignored = ("fi.toml", "pyproject.toml", ".venv", "docs", "tests")
        options["ignore_patterns"] = [*options["ignore_patterns"], *ignored]
        super().handle(*args, **options)
