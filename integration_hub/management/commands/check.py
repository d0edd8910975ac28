"""`manage.py check`: Django's command, which also looks up what the hub is configured to contact."""

from typing import Any

from django.core.checks import register
from django.core.checks.registry import registry
from django.core.management.commands import check

from integration_hub.egress.checks import check_egress


class Command(check.Command):
    def handle(self, *app_labels: Any, **options: Any) -> None:
        # Not for every command: it needs the database, and name servers.
        register(check_egress)
        try:
            super().handle(*app_labels, **options)
        finally:
            registry.registered_checks.discard(check_egress)
