"""Audit log entries of a few streams, sealed into segments at times that the test chooses."""

from datetime import UTC, datetime, timedelta
from random import Random

from cryptography.fernet import Fernet
from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from audit.format.id_ranges import unpack_ids
from audit.models import Entry, Segment
from audit.sealing.seal import rotate_signing_key, seal_entries
from audit.sealing.signing_keys import SecretCipher

START = datetime(2026, 3, 4, 12, tzinfo=UTC)


def after_start(seconds: float) -> datetime:
    """Return the time this many seconds after START."""
    return START + timedelta(seconds=seconds)


__all__ = [
    "CIPHER",
    "START",
    "after_start",
    "append_test_entries",
    "count_unsealed_entries",
    "sealed_ids",
    "write_history",
]

_FERNET = Fernet(Fernet.generate_key())
CIPHER = SecretCipher(_FERNET.encrypt, _FERNET.decrypt)


def append_test_entries(*streams: str, at: datetime = START) -> None:
    """Append one entry to each of these streams in one transaction."""
    with transaction.atomic():
        append_entries(
            *(NewEntry(stream, "test.happened", "system", {"n": n}) for n, stream in enumerate(streams)),
            at=at,
        )


def write_history(generator: Random, segments: int = 12, most: int = 20, keys: int = 3) -> datetime:
    """Seal `segments` segments of at most `most` entries under `keys` keys; one segment is empty. Returns the end time."""
    now = START
    for number in range(segments):
        if number and number % (segments // keys) == 0:
            rotate_signing_key(CIPHER, now)
        for _ in range(0 if number == segments // 2 else generator.randint(1, most)):
            append_test_entries(f"event:{generator.randrange(9)}", at=now)
        now += timedelta(seconds=61)
        seal_entries(CIPHER, now)
    return now


def sealed_ids() -> list[int]:
    """Return the ids of all sealed entries in the order of segments."""
    rows = Segment.objects.order_by("number").values_list("ids", flat=True)
    return [entry_id for packed in rows for entry_id in unpack_ids(bytes(packed))]


def count_unsealed_entries() -> int:
    """Return the number of entries that are in no segment."""
    return len(set(Entry.objects.values_list("id", flat=True)) - set(sealed_ids()))
