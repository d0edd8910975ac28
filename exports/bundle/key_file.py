"""The keys of the events of an export in a file: eight bytes each, so that ten million cost no memory."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from exports.resumable_files import to_disk

_SIZE = 8


def keep_keys(path: Path, keys: Iterable[int]) -> int:
    """Write them; how many."""
    iterator, count = iter(keys), 0
    with path.open("wb") as file:
        while some := array("q", islice(iterator, 10_000)):
            some.tofile(file)
            count += len(some)
        to_disk(file)
    return count


def count_keys(path: Path) -> int:
    """How many are kept; fewer than there should be where the machine lost its power."""
    return path.stat().st_size // _SIZE if path.exists() else 0


def kept_keys(path: Path, after: int, chunk: int) -> Iterator[list[int]]:
    """What stands behind the first `after` of them, so many at a time."""
    with path.open("rb") as file:
        file.seek(after * _SIZE)
        while content := file.read(chunk * _SIZE):
            some = array("q")
            some.frombytes(content)
            yield some.tolist()
