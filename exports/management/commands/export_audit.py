"""`manage.py export_audit`: the audit log as JSON Lines or CSV."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management import CommandError
from django.db.models import QuerySet

from audit.models import Entry
from exports.export_command import ExportCommand, parse_day_or_time, require_ordered_period
from exports.list_export import ENTRY_EXPORT

_LOOKUPS = {"since": "at__gte", "until": "at__lt", "action": "action", "actor": "actor", "stream": "stream"}


class Command(ExportCommand):
    help = "Write the audit log as JSON Lines or CSV, newest first. The export is recorded in the audit log."
    list_export = ENTRY_EXPORT

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name in _LOOKUPS:
            kind: Any = parse_day_or_time if name in ("since", "until") else str
            parser.add_argument(f"--{name}", type=kind)
        super().add_arguments(parser)

    def select_rows(self, options: Mapping[str, Any]) -> tuple[QuerySet[Any], dict[str, str]]:
        options_set = {name: options[name] for name in _LOOKUPS if options.get(name) is not None}
        action = options_set.get("action", "")
        if action and not Entry.objects.filter(action=action).exists():
            raise CommandError(f"No audit entry has the action {action!r}.")
        require_ordered_period(options_set.get("since"), options_set.get("until"))
        rows = Entry.objects.filter(**{_LOOKUPS[name]: value for name, value in options_set.items()})
        return rows.order_by("-at", "-id"), {name: str(value) for name, value in options_set.items()}
