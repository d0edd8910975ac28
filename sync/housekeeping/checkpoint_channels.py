"""Channels for checkpoints: a folder, mail, and a URL. Each sends, or raises the reason that it could not."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage

from audit.sealing.publish_checkpoints import PublishChannel, PublishFailed
from connectors.signed_post import PostFailed, post_signed

NO_INTERVAL = timedelta(0)


def configured_channels() -> Mapping[str, PublishChannel]:
    """Return the channels that are configured, by name."""
    channels: dict[str, PublishChannel] = {}
    if settings.AUDIT_CHECKPOINT_FOLDER:
        channels["folder"] = PublishChannel(write_to_folder, NO_INTERVAL)
    if settings.AUDIT_CHECKPOINT_EMAILS:
        channels["email"] = PublishChannel(
            send_by_mail, timedelta(hours=settings.AUDIT_CHECKPOINT_EMAIL_HOURS)
        )
    if settings.AUDIT_CHECKPOINT_URL:
        channels["post"] = PublishChannel(send_by_post, NO_INTERVAL)
    return channels


def checkpoint_file_name(count: int) -> str:
    """Return the file name of a checkpoint; names sort in the order of checkpoints."""
    return f"checkpoint-{count:010}.json"


def write_to_folder(count: int, content: bytes) -> None:
    """Write a new file to AUDIT_CHECKPOINT_FOLDER and flush it to disk. Never overwrites a file."""
    folder = Path(settings.AUDIT_CHECKPOINT_FOLDER)
    target, draft = (
        folder / checkpoint_file_name(count),
        folder / f".{checkpoint_file_name(count)}.{os.getpid()}",
    )
    try:
        _write_through(draft, content)
        try:
            # A hard link fails if the name exists, so nothing is overwritten, and the file appears only when it is
            # complete.
            os.link(draft, target)
        finally:
            draft.unlink()
        _flush_folder(folder)
    except FileExistsError:
        # An earlier attempt may have written the same content.
        if target.read_bytes() != content:
            raise PublishFailed(f"{target.name} already exists with other content") from None
    except OSError as error:
        raise PublishFailed(f"the file could not be written: {type(error).__name__}") from error


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        # A checkpoint counts as sent only once it is on disk.
        os.fsync(file.fileno())
    path.chmod(0o444)


def _flush_folder(folder: Path) -> None:
    """Flush a folder to disk, since a new file's name is durable only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def send_by_mail(count: int, content: bytes) -> None:
    """Send one mail to all of AUDIT_CHECKPOINT_EMAILS, with the checkpoint in its text and as a file."""
    text = (
        f"This is a checkpoint of the first {count} segments of the audit log. Store it where the "
        f"hub's administrators cannot change it. A check of the log or of an export against it "
        f"finds every later change to these segments.\n\n"
        f"{content.decode('ascii')}"
    )
    subject = f"{settings.EMAIL_SUBJECT_PREFIX}Checkpoint {count} of the audit log"
    headers = {"Auto-Submitted": "auto-generated"}
    mail = EmailMessage(subject, text, to=settings.AUDIT_CHECKPOINT_EMAILS, headers=headers)
    mail.attach(checkpoint_file_name(count), content.decode("ascii"), "application/json")
    try:
        mail.send()
    except OSError as error:
        # The errors of smtplib are OSErrors too.
        raise PublishFailed(f"the mail server did not accept it: {type(error).__name__}") from error


def send_by_post(count: int, content: bytes) -> None:
    """POST the checkpoint to AUDIT_CHECKPOINT_URL, signed if AUDIT_CHECKPOINT_SECRET is set."""
    try:
        post_signed(
            "the checkpoint address",
            settings.AUDIT_CHECKPOINT_URL,
            settings.AUDIT_CHECKPOINT_SECRET,
            f"checkpoint-{count}",
            content,
        )
    except PostFailed as failure:
        raise PublishFailed(str(failure)) from failure
