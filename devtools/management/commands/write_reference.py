"""`python -m devtools write_reference`: write the reference of all settings, made from the code that reads them."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from devtools.reference_files import write_reference


class Command(BaseCommand):
    help = "Write the reference of all settings as Markdown and JSON Schema."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", nargs="?", default="docs/reference", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        files = write_reference(options["folder"])
        self.stdout.write(f"{len(files)} files were written to {options['folder']}.")
