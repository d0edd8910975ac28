"""`manage.py erase_subject`: do what the console's erasure page does, without waiting for workers."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sync.erasure.erase import run_erasure
from sync.erasure.requests import (
    CaseNumberRefused,
    ErasureRefused,
    decide_erasure,
    find_subject,
    request_erasure,
)
from sync.erasure.subject_data import count_rows
from sync.models import LegalGround
from webhooks.models import Source


class Command(BaseCommand):
    help = "Show the stored data of one entity, and erase it if two people with permission are named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("entity_type")
        parser.add_argument("entity_id")
        parser.add_argument(
            "--source", help="slug of a source; limits the erasure to this source and its identity service"
        )
        parser.add_argument("--ground", choices=LegalGround.values)
        parser.add_argument(
            "--case-number", default="", help="stays with the erasure, so it must not name the person"
        )
        parser.add_argument("--reason", default="")
        parser.add_argument("--requested-by", metavar="USERNAME", help="the person who requests the erasure")
        parser.add_argument(
            "--approved-by", metavar="USERNAME", help="a second person; without one, nothing is erased"
        )

    def handle(self, *, entity_type: str, entity_id: str, source: str | None, **options: Any) -> None:
        names = [options["requested_by"], options["approved_by"]]
        if any(names) and not all(names):
            raise CommandError("Nothing was erased: name both people with --requested-by and --approved-by.")
        key = None if source is None else _find_source(source)
        subject = find_subject(entity_type, entity_id, key)
        counts = count_rows(subject)
        if not any(counts.values()):
            raise CommandError(f"No data is stored for {subject.entity_type} {entity_id}.")
        for name, number in counts.items():
            self.stdout.write(f"{number:>8,} {name}")
        if not all(names):
            self.stdout.write("Nothing was erased: name two people with --requested-by and --approved-by.")
            return
        requester, approver = (_find_eraser(name) for name in names)
        try:
            # If the confirmation is refused, the request is rolled back too.
            with transaction.atomic():
                erasure = request_erasure(
                    subject,
                    ground=options["ground"] or "",
                    reason=options["reason"],
                    by=requester,
                    case_number=options["case_number"],
                )
                decide_erasure(erasure, confirms=True, by=approver)
        except (CaseNumberRefused, ErasureRefused) as error:
            raise CommandError(str(error)) from error
        if not run_erasure(erasure):
            self.stdout.write(
                "Not erased yet: a delivery of this entity is running, or a worker is already erasing "
                "it. Workers will finish the erasure."
            )
            return
        self.stdout.write(
            ", ".join(f"{number} {name}" for name, number in erasure.counts.items()) + ": erased."
        )


def _find_source(slug: str) -> int:
    source_id = Source.objects.filter(slug=slug).values_list("pk", flat=True).first()
    if source_id is None:
        raise CommandError(f"There is no source {slug}.")
    return source_id


def _find_eraser(username: str) -> Any:
    """Return an active user who may erase. Raises CommandError."""
    user = get_user_model()._default_manager.filter(username=username, is_active=True).first()
    if user is None or not user.has_perm("sync.erase_subject"):
        raise CommandError(f"{username} does not have the permission to erase.")
    return user
