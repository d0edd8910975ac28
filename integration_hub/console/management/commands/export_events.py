"""`manage.py export_events`: the event history as JSON Lines or CSV."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError
from django.db.models import QuerySet
from django.utils import timezone

from integration_hub.console.export_command import ExportCommand
from integration_hub.console.exports import EVENTS
from integration_hub.console.filtering import WORDS, EventFilter, NoSuchFilter, resolve
from webhooks.models import Event

_OTHER_NAMES = {"received_from": "--since", "received_to": "--until"}


class Command(ExportCommand):
    help = (
        "Write the event history as JSON Lines or CSV, newest first; the export is on the audit log. "
        "The filters are the words of the event list's address."
    )
    export = EVENTS

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name in WORDS:
            others = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else []
            parser.add_argument(f"--{name.replace('_', '-')}", *others, dest=name)
        super().add_arguments(parser)

    def chosen(self, options: Mapping[str, Any]) -> tuple[QuerySet[Any], dict[str, str]]:
        asked = _filter(options)
        return asked.narrow(Event.objects.order_by("-received_at", "-id")), asked.words()


def _filter(options: Mapping[str, Any]) -> EventFilter:
    asked = {name: str(options[name]) for name in WORDS if options.get(name) is not None}
    try:
        return resolve(asked, timezone.now())
    except NoSuchFilter as error:
        raise CommandError(f"These filters cannot be used: {error}") from error
