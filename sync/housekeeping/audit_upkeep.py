"""Seal and verify the audit log, with the hub's keys, clock, settings and checkpoint channels."""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction

from audit.entries.acting_person import ActingPerson
from audit.entries.append import SYSTEM, NewEntry, append_entries
from audit.models import Entry
from audit.sealing.publish_checkpoints import publish_checkpoint
from audit.sealing.seal import rotate_signing_key, seal_entries, seal_missed_entries
from audit.sealing.signing_keys import SecretCipher
from audit.verification.nightly_check import verify_and_record
from audit.verification.registered_checks import registered_checks
from database.clock import database_now, read_clock
from database.encryption import at_rest
from sync.housekeeping.checkpoint_channels import configured_channels
from sync.models import PeriodicTask

logger = logging.getLogger("hub.audit")

# The name of the periodic work that verifies the log.
NIGHTLY_CHECK = "audit"
# A check reads the whole log: people may request one so often.
REQUEST_INTERVAL = timedelta(minutes=5)
_REQUESTED = "audit.check-requested"
CIPHER = SecretCipher(at_rest.encrypt, at_rest.decrypt)


def seal_audit() -> int:
    """Seal the entries appended since the last call. Returns the number of segments."""
    return seal_entries(CIPHER, read_clock(), settings.AUDIT_KEY_DAYS)


def replace_signing_key() -> None:
    """Begin a new signing key now and destroy the old one."""
    rotate_signing_key(CIPHER, read_clock())


def send_checkpoint() -> int:
    """Send a checkpoint of the sealed log outside. Returns the number of channels that accepted it."""
    return publish_checkpoint(CIPHER, read_clock(), configured_channels())


def request_verification(by: ActingPerson) -> bool:
    """Bring the nightly check forward to now, with an audit entry: a worker begins it within seconds, and the next one
    is that of the next night.

    Returns False if one was requested within the last minutes, or if no worker has ever run.
    """
    recent = Entry.objects.filter(action=_REQUESTED, at__gt=read_clock() - REQUEST_INTERVAL)
    with transaction.atomic():
        # The row is locked, so that of two requests the second one sees the entry of the first.
        check = PeriodicTask.objects.select_for_update().filter(name=NIGHTLY_CHECK).first()
        if check is None or recent.exists():
            return False
        PeriodicTask.objects.filter(pk=check.pk, due_at__gt=database_now()).update(due_at=database_now())
        append_entries(NewEntry(SYSTEM, _REQUESTED, by.actor, {"address": by.address}))
    return True


def verify_audit_log_nightly() -> None:
    """Seal missed entries, of which there should be none, and verify the whole log and the rows that it is about.

    Verifies whatever else fails: what cannot be sealed may be what a verification finds.
    """
    try:
        seal_missed_entries(CIPHER, read_clock())
    except Exception:
        logger.exception(
            "the audit entries that were missed could not be sealed; the log is verified nevertheless"
        )
    verify_and_record(read_clock(), registered_checks())
