"""The nightly verification of the whole log, stored as a row."""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from audit.models import Verification
from audit.verification.check_database import MAX_FAULTS, VerificationReport, verify_database
from audit.verification.registered_checks import Check, CheckStopped, run_check

logger = logging.getLogger("hub.audit")


def verify_and_record(at: datetime, checks: Sequence[Check] = ()) -> Verification:
    """Check the whole log, write each fault to the process log, and store the result.

    `checks` compare other tables with the log: each yields the faults that it finds. A check that raises is a fault
    too, and does not stop the others: what it failed on may be what was tampered with.
    """
    started = time.monotonic()
    report, faults = _verify_log()
    for check in checks:
        faults += islice(_faults_of(check), MAX_FAULTS - len(faults))
    for fault in faults:
        logger.error("the audit log is not as it was written: %s", fault)
    return Verification.objects.create(
        at=at,
        segments=report.segments if report else 0,
        entries=report.entries if report else 0,
        seconds=time.monotonic() - started,
        faults=len(faults),
        first_fault=faults[0][:300] if faults else "",
    )


def _verify_log() -> tuple[VerificationReport | None, list[str]]:
    try:
        report = verify_database()
    except Exception as error:
        logger.exception("the audit log could not be verified")
        return None, [f"the audit log could not be verified: {type(error).__name__}"]
    return report, [str(fault) for fault in report.faults]


def _faults_of(check: Check) -> Iterator[str]:
    try:
        yield from run_check(check)
    except CheckStopped as error:
        yield str(error)
