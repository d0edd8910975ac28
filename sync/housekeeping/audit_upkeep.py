"""What keeps the audit log provable, with the hub's keys, clock, settings and ways out: run by the workers."""

from django.conf import settings

from audit.sealing.publish_checkpoints import anchor
from audit.sealing.seal import rotate_key, seal, seal_stragglers
from audit.sealing.signing_keys import Box
from audit.verification.nightly_check import verify_and_keep
from database.clock import read_clock
from sync.housekeeping.checkpoint_channels import ways
from webhooks.encryption import at_rest

BOX = Box(at_rest.seal, at_rest.unseal)


def seal_audit() -> int:
    """Seal what was appended since the last second; how many segments."""
    return seal(BOX, read_clock(), settings.AUDIT_KEY_DAYS)


def begin_signing_key() -> None:
    """Begin a new signing key now and destroy the old one."""
    rotate_key(BOX, read_clock())


def send_checkpoint() -> int:
    """Send a checkpoint of what is sealed outside; by how many ways it arrived."""
    return anchor(BOX, read_clock(), ways())


def look_at_everything() -> None:
    """Once a night: seal what was missed, which should be nothing, and verify the whole log."""
    seal_stragglers(BOX, read_clock())
    verify_and_keep(read_clock())
