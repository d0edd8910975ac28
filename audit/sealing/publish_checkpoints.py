"""Publishes the newest checkpoint through every configured channel. A failing channel delays no other."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from audit.models import Checkpoint, CheckpointChannel, PublishedCheckpoint
from audit.sealing.checkpoints import checkpoint_bytes, make_checkpoint
from audit.sealing.record_rows import checkpoint_record
from audit.sealing.signing_keys import SecretCipher

logger = logging.getLogger("hub.audit")

FIRST_BACKOFF = timedelta(minutes=1)
MAX_BACKOFF = timedelta(minutes=15)


class PublishFailed(Exception):
    """The checkpoint may not have arrived. The text is for support and contains no secret."""


@dataclass(frozen=True, slots=True)
class PublishChannel:
    """A channel for checkpoints.

    `send` takes the checkpoint's count and file, and raises PublishFailed. It is called once per `min_interval` at
    most.
    """

    send: Callable[[int, bytes], None]
    min_interval: timedelta


def publish_checkpoint(cipher: SecretCipher, at: datetime, channels: Mapping[str, PublishChannel]) -> int:
    """Make a checkpoint of the sealed segments and send it through every channel that is due.

    Returns the number of channels through which it arrived. A failed channel is retried with the newest checkpoint of
    that time: at most once a call, and after at most a quarter of an hour.
    """
    made = make_checkpoint(cipher, at)
    # A channel that was removed from the settings must not raise alarms for ever.
    CheckpointChannel.objects.exclude(name__in=channels).delete()
    if made is None:
        return 0
    return sum(_publish_to(made, name, channel, at) for name, channel in channels.items())


def _publish_to(checkpoint: Checkpoint, name: str, channel: PublishChannel, at: datetime) -> bool:
    status, _ = CheckpointChannel.objects.get_or_create(name=name, defaults={"due_at": at})
    longest = max(channel.min_interval, MAX_BACKOFF)
    # A later time than any back-off sets comes from a clock that was ahead: the channel counts as due.
    waits = at < status.due_at <= at + longest
    if waits or status.count == checkpoint.count:
        return False
    try:
        channel.send(checkpoint.count, checkpoint_bytes(checkpoint_record(checkpoint)))
    except PublishFailed as failure:
        _postpone_channel(status, str(failure), at)
        return False
    # A defect in one channel must not keep the others from publishing.
    except Exception:
        logger.exception("a checkpoint could not be sent by %s", name)
        _postpone_channel(status, "internal error; see the log", at)
        return False
    # After the sending: a process that is killed in between sends the checkpoint once more.
    with transaction.atomic():
        PublishedCheckpoint.objects.create(checkpoint=checkpoint, channel=name, at=at)
        CheckpointChannel.objects.filter(name=name).update(
            count=checkpoint.count,
            sent_at=at,
            due_at=at + channel.min_interval,
            failures=0,
            failing_since=None,
            failure="",
        )
    return True


def _postpone_channel(status: CheckpointChannel, failure: str, at: datetime) -> None:
    # The exponent is limited too, because a large power of two overflows a timedelta.
    pause = min(FIRST_BACKOFF * 2 ** min(status.failures, 10), MAX_BACKOFF)
    logger.warning("checkpoint was not sent by %s: %s", status.name, failure)
    CheckpointChannel.objects.filter(pk=status.pk).update(
        failures=status.failures + 1,
        failing_since=status.failing_since or at,
        failure=failure[:200],
        due_at=at + pause,
    )
