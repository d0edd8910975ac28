"""Store the keys of an export's events in a file, eight bytes each, so that ten million keys need no memory."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from exports.resumable_files import flush_to_disk

_KEY_BYTES = 8


def write_keys(path: Path, keys: Iterable[int]) -> int:
    """Write the keys. Returns their number."""
    iterator, count = iter(keys), 0
    with path.open("wb") as file:
        while batch := array("q", islice(iterator, 10_000)):
            batch.tofile(file)
            count += len(batch)
        flush_to_disk(file)
    return count


def count_keys(path: Path) -> int:
    """Return the number of keys in the file. It is too small if the machine lost power while the file was written."""
    # An incomplete last key does not count.
    return path.stat().st_size // _KEY_BYTES if path.exists() else 0


def read_keys(path: Path, skipped: int, batch_size: int) -> Iterator[list[int]]:
    """Yield the keys after the first `skipped` ones, in batches."""
    with path.open("rb") as file:
        file.seek(skipped * _KEY_BYTES)
        while content := file.read(batch_size * _KEY_BYTES):
            batch = array("q")
            batch.frombytes(content)
            yield batch.tolist()
