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
        "Verify every entry, segment, key and checkpoint of the audit log; list each fault with "
        "its position and exit with 1. Changes nothing and blocks nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--checkpoint",
            type=Path,
            metavar="FILE",
            help=(
                "a checkpoint stored outside the hub; without one, someone with the database and the "
                "signing key could have rewritten everything unnoticed"
            ),
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
    verb = "Checked everything up to" if report.faults else "Verified up to"
    lines = [
        f"{verb} segment {report.segments} ({report.entries} entries, highest id {report.highest_id}), "
        f"sealed at {report.sealed_at or 'no time yet'}.",
    ]
    if (pruned := report.pruned) is not None:
        lines.append(
            f"Entries are stored from segment {pruned.segment + 1} on. Entries of segments 1 to "
            f"{pruned.segment}, sealed up to {pruned.sealed_at}, were deleted after {pruned.days} days, as "
            f"recorded in segment {pruned.announced_in}; the hash of segment {pruned.segment} proves "
            f"their content: "
            f"{pruned.hash}."
        )
    if report.unsealed:
        lines.append(
            f"{report.unsealed} entries are not sealed yet; the oldest is from {report.unsealed_since}."
        )
    if not is_compared:
        lines.append("No outside checkpoint was compared.")
    return "\n".join(lines)
