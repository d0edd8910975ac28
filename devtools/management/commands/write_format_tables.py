"""`python -m devtools write_format_tables`: write the tables of pages that code declares."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from devtools.format_tables import rewrite_tables


class Command(BaseCommand):
    help = "Write the tables of a page that code declares."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("page", nargs="?", default="docs/audit-format.md", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        page: Path = options["page"]
        page.write_text(rewrite_tables(page.read_text("utf-8")), "utf-8")
        self.stdout.write(f"The tables of {page} were written.")
