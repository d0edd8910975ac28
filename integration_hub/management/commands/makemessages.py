"""`manage.py makemessages`: Django's command, which also extracts the texts of the catalogue of codes."""

import tomllib
from pathlib import Path
from typing import Any

from django.core.management.commands import makemessages

from webhooks.catalogue.messages import default_connection_name


class CatalogueFile(makemessages.BuildFile):
    """A source file of texts. A TOML file is converted to calls of gettext, which xgettext can read."""

    def preprocess(self) -> None:
        if not self.path.endswith(".toml"):
            super().preprocess()
            return
        entries = tomllib.loads(Path(self.path).read_text("utf-8")).values()
        texts = [text for entry in entries for text in entry.values()]
        texts += [default_connection_name("en", "identity"), default_connection_name("en", "target")]
        Path(self.work_path).write_text("\n".join(f"gettext({text!r})" for text in texts), "utf-8")


# Functions and classes of pure packages, with the number of the argument that is a text. Where it is no literal,
# `translatable` makes it.
KEYWORDS = (
    "translatable",
    "translatable_plural:1,2",
    "SettingsInvalid:2",
    "reject:2",
    "required:3",
    "optional:3",
    "defaulted:4",
    "Rule",
    "Variant",
    "FieldSetting",
    "Credential",
)


class Command(makemessages.Command):
    build_file_class = CatalogueFile
    xgettext_options = [*makemessages.Command.xgettext_options, *(f"--keyword={name}" for name in KEYWORDS)]

    def handle(self, *args: Any, **options: Any) -> None:
        options["extensions"] = options["extensions"] or ["html", "txt", "py", "toml"]
        # The other languages of the catalogue are translations already.
        options["ignore_patterns"] = [*options["ignore_patterns"], "fi.toml", "pyproject.toml", ".venv"]
        super().handle(*args, **options)
