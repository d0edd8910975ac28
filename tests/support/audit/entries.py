"""A history for tests: entries of a few streams, sealed at moments that the test gives."""

from datetime import UTC, datetime, timedelta
from random import Random

from cryptography.fernet import Fernet
from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from audit.format.id_ranges import unpack_ids
from audit.models import Entry, Segment
from audit.sealing.seal import rotate_signing_key, seal_entries
from audit.sealing.signing_keys import SecretBox

_FERNET = Fernet(Fernet.generate_key())
BOX = SecretBox(_FERNET.encrypt, _FERNET.decrypt)
START = datetime(2026, 3, 4, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """So long after the history began."""
    return START + timedelta(seconds=seconds)


def write(*streams: str, at: datetime = START) -> None:
    """One entry for each of these streams, in one commit."""
    with transaction.atomic():
        append_entries(
            *(NewEntry(each, "test.happened", "system", {"n": n}) for n, each in enumerate(streams)), at=at
        )


def write_history(generator: Random, segments: int = 12, most: int = 20, keys: int = 3) -> datetime:
    """So many segments of at most so many entries under several keys, one of them empty; when it ended."""
    now = START
    for number in range(segments):
        if number and number % (segments // keys) == 0:
            rotate_signing_key(BOX, now)
        for _ in range(0 if number == segments // 2 else generator.randint(1, most)):
            write(f"event:{generator.randrange(9)}", at=now)
        now += timedelta(seconds=61)
        seal_entries(BOX, now)
    return now


def sealed_ids() -> list[int]:
    """The ids that stand in segments, in the order of segments."""
    rows = Segment.objects.order_by("number").values_list("ids", flat=True)
    return [each for packed in rows for each in unpack_ids(bytes(packed))]


def missed() -> int:
    """How many entries no segment holds."""
    return len(set(Entry.objects.values_list("id", flat=True)) - set(sealed_ids()))
