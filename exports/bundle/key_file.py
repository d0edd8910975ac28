"""The keys of the events of an export in a file: eight bytes each, so that ten million cost no memory."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from exports.resumable_files import flush_to_disk

_KEY_BYTES = 8


def write_keys(path: Path, keys: Iterable[int]) -> int:
    """Write them; how many."""
    iterator, count = iter(keys), 0
    with path.open("wb") as file:
        while some := array("q", islice(iterator, 10_000)):
            some.tofile(file)
            count += len(some)
        flush_to_disk(file)
    return count


def count_keys(path: Path) -> int:
    """How many are kept; fewer than there should be where the machine lost its power."""
    return path.stat().st_size // _KEY_BYTES if path.exists() else 0


def read_keys(path: Path, skipped: int, batch_size: int) -> Iterator[list[int]]:
    """What stands behind the first `after` of them, so many at a time."""
    with path.open("rb") as file:
        file.seek(skipped * _KEY_BYTES)
        while content := file.read(batch_size * _KEY_BYTES):
            some = array("q")
            some.frombytes(content)
            yield some.tolist()
