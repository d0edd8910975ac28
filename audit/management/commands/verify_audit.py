"""`manage.py verify_audit`: check that the audit log in the database is complete and unchanged."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.format.signed_records import SIGNED_FIELDS, Record
from audit.sealing.checkpoints import checkpoint_bytes
from audit.verification.check_database import MAX_FAULTS, VerificationReport, verify_database


class Command(BaseCommand):
    help = (
        "Look at every entry, segment, key and checkpoint of the audit log; name each fault with its place and end "
        "with 1. Changes nothing and holds nobody up."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--checkpoint",
            type=Path,
            metavar="FILE",
            help="a checkpoint that was kept outside: without one, a holder of database and key could have rewritten "
            "everything",
        )

    def handle(self, *, checkpoint: Path | None, **_: Any) -> None:
        report = verify_database(None if checkpoint is None else read_checkpoint_file(checkpoint))
        for fault in report.faults:
            self.stderr.write(str(fault))
        self.stdout.write(report_text(report, is_compared=checkpoint is not None))
        if report.faults:
            more = " or more" if len(report.faults) == MAX_FAULTS else ""
            raise CommandError(f"{len(report.faults)}{more} faults", returncode=1)


def read_checkpoint_file(path: Path) -> Record:
    """Read the checkpoint in a file. Raises CommandError if it holds none."""
    try:
        content = path.read_bytes()
        record = json.loads(content)
        if set(record) == {*SIGNED_FIELDS["checkpoint"], "signature"} and checkpoint_bytes(record) == content:
            return dict(record)
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(f"{path}: {error}") from error
    raise CommandError(f"{path} is not a checkpoint file")


def report_text(report: VerificationReport, *, is_compared: bool) -> str:
    """Return the summary of a verification as text."""
    verb = "Looked at everything up to" if report.faults else "Verified up to"
    lines = [
        f"{verb} segment {report.segments} ({report.entries} entries, the highest id {report.highest_id}), "
        f"sealed at {report.sealed_at or 'no time yet'}.",
    ]
    if (gone := report.pruned) is not None:
        lines.append(
            f"Entries are kept from segment {gone.segment + 1} on. Those of segments 1 to {gone.segment}, sealed up to "
            f"{gone.sealed_at}, were let go after {gone.days} days, as segment {gone.announced_in} says; what they "
            f"were is proved by the hash of segment {gone.segment}, {gone.hash}."
        )
    if report.unsealed:
        lines.append(f"{report.unsealed} entries are not sealed yet, the oldest of {report.unsealed_since}.")
    if not is_compared:
        lines.append("No outside checkpoint was compared.")
    return "\n".join(lines)
