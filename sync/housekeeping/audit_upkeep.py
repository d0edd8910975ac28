"""Seal and verify the audit log, with the hub's keys, clock, settings and checkpoint channels."""

import logging

from django.conf import settings

from audit.sealing.publish_checkpoints import publish_checkpoint
from audit.sealing.seal import rotate_signing_key, seal_entries, seal_missed_entries
from audit.sealing.signing_keys import SecretCipher
from audit.verification.nightly_check import verify_and_record
from audit.verification.registered_checks import registered_checks
from database.clock import read_clock
from database.encryption import at_rest
from sync.housekeeping.checkpoint_channels import configured_channels

logger = logging.getLogger("hub.audit")

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
