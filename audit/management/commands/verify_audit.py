"""`manage.py verify_audit`: check that the audit log is complete and unchanged, and agrees with the other tables."""

import json
import logging
from argparse import ArgumentParser
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.format.signed_records import SIGNED_FIELDS, Record
from audit.sealing.checkpoints import checkpoint_bytes
from audit.verification.check_database import MAX_FAULTS, VerificationReport, verify_database
from audit.verification.registered_checks import Check, CheckStopped, registered_checks, run_check

logger = logging.getLogger("hub.audit")

FAULTS_FOUND = 1
NOT_COMPLETED = 2


class Command(BaseCommand):
    help = (
        "Verify every entry, segment, key and checkpoint of the audit log, and compare the rows of events, receipts, "
        "deliveries, attempts and calls with the entries. Lists the first 100 faults of each kind with their "
        "positions. Exits with 0 if there are none, with 1 if there are, and with 2 if none were found but not "
        "everything could be checked. Changes nothing and blocks nothing."
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
        parser.add_argument(
            "--log-only",
            action="store_true",
            help="do not compare rows with the entries, which takes longest",
        )

    def handle(self, *, checkpoint: Path | None, log_only: bool, **_: Any) -> None:
        outside = None if checkpoint is None else read_checkpoint_file(checkpoint)
        stopped: list[str] = []
        faults = self._verify_log(outside, stopped)
        if log_only:
            self.stdout.write("No rows were compared with the entries.")
        else:
            faults += self._compare_rows(registered_checks(), stopped)
        for problem in stopped:
            self.stderr.write(problem)
        if faults:
            more = " or more" if faults >= MAX_FAULTS else ""
            noun = "fault" if faults == 1 else "faults"
            raise CommandError(f"{faults}{more} {noun}", returncode=FAULTS_FOUND)
        if stopped:
            raise CommandError("Not everything could be checked.", returncode=NOT_COMPLETED)

    def _verify_log(self, outside: Record | None, stopped: list[str]) -> int:
        """Report on the log itself. Returns the number of faults."""
        try:
            report = verify_database(outside)
        except Exception as error:
            logger.exception("the audit log could not be verified")
            stopped.append(f"the audit log could not be verified: {type(error).__name__}")
            return 0
        for fault in report.faults:
            self.stderr.write(str(fault))
        self.stdout.write(report_text(report, is_compared=outside is not None))
        return len(report.faults)

    def _compare_rows(self, checks: Sequence[Check], stopped: list[str]) -> int:
        """Report on the rows of other tables. Returns the number of faults."""
        faults, stopped_before = 0, len(stopped)
        for check in checks:
            try:
                for fault in islice(run_check(check), MAX_FAULTS - faults):
                    self.stderr.write(fault)
                    faults += 1
            except CheckStopped as error:
                stopped.append(str(error))
        if not faults and len(stopped) == stopped_before:
            self.stdout.write("The rows about events agree with the entries.")
        return faults


def read_checkpoint_file(path: Path) -> Record:
    """Read the checkpoint in a file. Raises CommandError if it contains none."""
    try:
        content = path.read_bytes()
        record = json.loads(content)
        if set(record) == {*SIGNED_FIELDS["checkpoint"], "signature"} and checkpoint_bytes(record) == content:
            return dict(record)
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(f"{path}: {error}", returncode=NOT_COMPLETED) from error
    raise CommandError(f"{path} is not a checkpoint file", returncode=NOT_COMPLETED)


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
            f"recorded in segment {pruned.announced_in}; the hash of segment {pruned.segment} proves their "
            f"content: {pruned.hash}."
        )
    if report.unsealed:
        lines.append(
            f"{report.unsealed} entries are not sealed yet; the oldest is from {report.unsealed_since}."
        )
    if not is_compared:
        lines.append("No outside checkpoint was compared.")
    return "\n".join(lines)
