"""Checkpoints are sent to a folder, by mail and by POST: the newest one, each channel on its own, with retries."""

import json
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from standardwebhooks import Webhook

from audit.models import Checkpoint, CheckpointChannel, PublishedCheckpoint
from audit.sealing.publish_checkpoints import MAX_BACKOFF, PublishChannel, publish_checkpoint
from sync.housekeeping.audit_upkeep import CIPHER, seal_audit
from sync.housekeeping.checkpoint_channels import checkpoint_file_name, configured_channels, write_to_folder
from tests.support.audit.entries import append_test_entries
from tests.support.builders.alarms import SECRET
from tests.support.http.webhook_receiver import Receiver, receiving
from tests.support.processes.hub_processes import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.concurrent]
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def send(at: datetime = NOON) -> int:
    """Something new is sealed and sent, so many minutes from noon."""
    append_test_entries("event:a")
    seal_audit()
    return publish_checkpoint(CIPHER, at, configured_channels())


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.AUDIT_CHECKPOINT_FOLDER = str(tmp_path)
    return tmp_path


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    with receiving() as receiver:
        receiver.always(204, b"")
        settings.AUDIT_CHECKPOINT_URL = f"{receiver.url}/checkpoints"
        yield receiver


def test_a_folder_gets_a_file_for_each_checkpoint_that_verifies_the_log(folder: Path) -> None:
    assert [send(NOON), send(NOON + MINUTE)] == [1, 1]
    assert publish_checkpoint(CIPHER, NOON + 2 * MINUTE, configured_channels()) == 0, "nothing new was sealed"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        checkpoint_file_name(count)
        for count in Checkpoint.objects.order_by("count").values_list("count", flat=True)
    ]
    for name in names:
        call_command("verify_audit", "--log-only", "--checkpoint", str(folder / name))
        assert (folder / name).stat().st_mode & 0o777 == 0o444
    assert PublishedCheckpoint.objects.filter(channel="folder").count() == 2


def test_a_file_is_written_once(folder: Path) -> None:
    write_to_folder(7, b"first\n")
    write_to_folder(7, b"first\n")
    with pytest.raises(Exception, match="already exists"):
        write_to_folder(7, b"second\n")
    assert [path.read_bytes() for path in folder.iterdir()] == [b"first\n"]


def test_a_file_and_its_directory_are_synced_before_it_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    write_to_folder(1, b"{}\n")
    assert synced == [False, True]


def test_a_mail_contains_the_checkpoint_as_text_and_as_attachment(
    settings: Any, mailoutbox: list[Any]
) -> None:
    settings.AUDIT_CHECKPOINT_EMAILS = ["auditor@example.com"]
    assert send() == 1
    (mail,) = mailoutbox
    checkpoint = Checkpoint.objects.get()
    (name, content, kind) = mail.attachments[0]
    assert (mail.to, name, kind) == (
        ["auditor@example.com"],
        checkpoint_file_name(checkpoint.count),
        "application/json",
    )
    assert json.loads(content)["root"] == bytes(checkpoint.root).hex()
    assert mail.body.endswith(f"\n\n{content}")
    assert [send(NOON + timedelta(hours=hours)) for hours in (1, 23, 24, 25)] == [0, 0, 1, 0]
    assert len(mailoutbox) == 2


def test_a_post_contains_the_checkpoint_and_is_signed_if_a_secret_is_set(
    receiver: Receiver, settings: Any
) -> None:
    assert send() == 1
    settings.AUDIT_CHECKPOINT_SECRET = SECRET
    assert send(NOON + MINUTE) == 1
    plain, signed = receiver.received
    assert plain.path == "/checkpoints"
    assert "webhook-signature" not in plain.headers
    assert (
        Webhook(SECRET).verify(signed.body, signed.headers)["count"]
        == Checkpoint.objects.latest("count").count
    )


def test_a_clock_that_was_a_day_ahead_delays_nothing_after_its_correction(folder: Path) -> None:
    assert [send(NOON + timedelta(days=1)), send(NOON)] == [1, 1]
    channel = CheckpointChannel.objects.get()
    assert (channel.sent_at, channel.failures) == (NOON, 0)


def test_a_failing_channel_delays_no_other_and_gets_the_newest_checkpoint_later(
    folder: Path, receiver: Receiver
) -> None:
    receiver.always(500, b"")
    assert send(NOON) == 1
    channel = CheckpointChannel.objects.get(name="post")
    assert (channel.failures, channel.failing_since, channel.count) == (1, NOON, 0)
    assert channel.failure == "the checkpoint address responded with 500"
    assert send(NOON + MINUTE) == 1
    receiver.always(204, b"")
    assert publish_checkpoint(CIPHER, NOON + 2 * MINUTE, configured_channels()) == 0, "its pause is not over"
    assert publish_checkpoint(CIPHER, NOON + 3 * MINUTE, configured_channels()) == 1
    channel.refresh_from_db()
    assert (channel.failures, channel.failing_since, channel.failure) == (0, None, "")
    assert (
        channel.count
        == Checkpoint.objects.latest("count").count
        == json.loads(receiver.received[-1].body)["count"]
    )


def test_pauses_between_retries_grow_up_to_a_quarter_of_an_hour(settings: Any) -> None:
    settings.AUDIT_CHECKPOINT_URL = f"http://127.0.0.1:{free_port()}/"
    at, pauses = NOON, []
    for _ in range(7):
        assert send(at) == 0
        due = CheckpointChannel.objects.get().due_at
        pauses.append(due - at)
        at = due
    assert pauses[:3] == [MINUTE, 2 * MINUTE, 4 * MINUTE]
    assert pauses[-1] == MAX_BACKOFF
    assert CheckpointChannel.objects.get().failures == 7


def test_an_error_of_our_own_counts_as_a_failure(folder: Path) -> None:
    def broken(count: int, content: bytes) -> None:
        raise ZeroDivisionError

    append_test_entries("event:a")
    seal_audit()
    assert (
        publish_checkpoint(CIPHER, NOON, {"broken": PublishChannel(broken, MINUTE), **configured_channels()})
        == 1
    )
    assert CheckpointChannel.objects.get(name="broken").failure == "internal error; see the log"


def test_a_missing_folder_is_a_failure(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT_CHECKPOINT_FOLDER = str(tmp_path / "none")
    assert send() == 0
    assert CheckpointChannel.objects.get().failure == "the file could not be written: FileNotFoundError"


def test_a_channel_that_is_no_longer_configured_is_forgotten(folder: Path, settings: Any) -> None:
    send()
    settings.AUDIT_CHECKPOINT_FOLDER = ""
    publish_checkpoint(CIPHER, NOON + MINUTE, configured_channels())
    assert not CheckpointChannel.objects.exists()
    assert PublishedCheckpoint.objects.count() == 1
