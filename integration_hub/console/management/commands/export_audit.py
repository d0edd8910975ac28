"""`manage.py export_audit`: the audit log as JSON Lines or CSV."""

from typing import Any

from django.db.models import QuerySet

from audit.models import Entry
from integration_hub.console.export_command import ExportCommand
from integration_hub.console.exports import ENTRIES


class Command(ExportCommand):
    help = "Write the audit log as JSON Lines or CSV, newest first; the export is on the audit log itself."
    export = ENTRIES
    filters = {
        "since": "at__gte",
        "until": "at__lt",
        "action": "action",
        "actor": "actor",
        "stream": "stream",
    }

    def everything(self) -> QuerySet[Any]:
        return Entry.objects.order_by("-at", "-id")
