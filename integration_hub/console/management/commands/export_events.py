"""`manage.py export_events`: the event history as JSON Lines or CSV."""

from typing import Any

from django.db.models import QuerySet

from integration_hub.console.export_command import ExportCommand
from integration_hub.console.exports import EVENTS
from webhooks.models import Event


class Command(ExportCommand):
    help = "Write the event history as JSON Lines or CSV, newest first; the export is on the audit log."
    export = EVENTS
    filters = {
        "since": "received_at__gte",
        "until": "received_at__lt",
        "state": "state",
        "source": "source__slug",
        "event_type": "event_type",
        "entity_id": "entity_id",
        "code": "code",
    }

    def everything(self) -> QuerySet[Any]:
        return Event.objects.order_by("-received_at", "-id")
