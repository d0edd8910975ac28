"""The files of an export that is being written: what was noted is on the disk, and a later run goes on behind it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

FileSizes = Mapping[str, int]


def flush_to_disk(file: BinaryIO) -> None:
    """What was written to it outlasts a loss of power."""
    file.flush()
    os.fsync(file.fileno())


def are_files_complete(folder: Path, sizes: FileSizes) -> bool:
    """Whether these files are there, and not shorter than what was noted of them."""
    paths = {folder / name: size for name, size in sizes.items()}
    return all(path.exists() and path.stat().st_size >= size for path, size in paths.items())


class ResumableFiles:
    """Files that only grow. `sizes`: what an earlier run noted; everything behind is cut off."""

    def __init__(self, folder: Path, names: Iterable[str], sizes: FileSizes) -> None:
        self._files = {name: _open_truncated(folder / name, sizes.get(name, 0)) for name in names}

    def append_text(self, name: str, text: str) -> None:
        """At the end of a file."""
        self._files[name].write(text.encode())

    def flush_files(self) -> dict[str, int]:
        """The sizes, once everything is on the disk."""
        for file in self._files.values():
            flush_to_disk(file)
        return {name: file.tell() for name, file in self._files.items()}

    def close_files(self) -> None:
        for file in self._files.values():
            file.close()


def _open_truncated(path: Path, size: int) -> BinaryIO:
    """A file, cut to that size."""
    file = path.open("r+b" if size else "wb")
    file.truncate(size)
    file.seek(size)
    return file
