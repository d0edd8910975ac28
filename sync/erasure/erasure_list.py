"""The list of erasures outside the database, so that restoring an old backup does not bring erased people back.

One JSON object a line, in ERASURE_LIST. It names people by their pseudonyms only, which are computed again from what a
backup holds.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from sync.models import Erasure

_MAX_LINE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class ListedErasure:
    """One erasure. `requested_by` and `decided_by` are the keys of the two people who decided it."""

    erasure: str
    at: str
    entity_type: str
    pseudonyms: list[str]
    ground: str
    case_number: str
    requested_by: int
    decided_by: int | None


def list_erasure(erasure: Erasure, pseudonyms: list[str]) -> None:
    """Append an erasure to the list and flush it to the disk. Raises OSError.

    Called before the commit that destroys the keys: what was erased is always on the list. Listed twice does no harm.
    """
    listed = ListedErasure(
        str(erasure.uuid),
        timezone.now().isoformat(timespec="seconds"),
        erasure.entity_type,
        pseudonyms,
        erasure.ground,
        erasure.case_number,
        erasure.requested_by_id,
        erasure.decided_by_id,
    )
    path = Path(settings.ERASURE_LIST)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # One write at the end of the file, so that lines of several processes do not mix. A cut line stays alone.
        size = os.fstat(descriptor).st_size
        is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, ("\n" * is_cut + json.dumps(asdict(listed)) + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_erasure_list(path: Path) -> Iterator[ListedErasure]:
    """Yield the erasures of a list, the oldest first. Raises OSError, and ValueError with the number of a bad line."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE_BYTES):
            number += 1
            try:
                listed = ListedErasure(**json.loads(line))
                if not all(isinstance(name, str) for name in (listed.erasure, *listed.pseudonyms)):
                    raise TypeError
            except (ValueError, TypeError):
                raise ValueError(f"line {number} is damaged") from None
            yield listed
