"""Write the files of an export so that a later run can resume: sizes that were saved are on the disk."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

FileSizes = Mapping[str, int]


def flush_to_disk(file: BinaryIO) -> None:
    """Flush the file so that its content survives a loss of power."""
    file.flush()
    os.fsync(file.fileno())


def are_files_complete(folder: Path, sizes: FileSizes) -> bool:
    """Return True if all files exist and none is shorter than its saved size."""
    paths = {folder / name: size for name, size in sizes.items()}
    # A longer file is not a fault: what was written after the last save is cut off.
    return all(path.exists() and path.stat().st_size >= size for path, size in paths.items())


class ResumableFiles:
    """Files that only grow. `sizes` are those that an earlier run saved; everything behind them is cut off."""

    def __init__(self, folder: Path, names: Iterable[str], sizes: FileSizes) -> None:
        self._files = {name: _open_truncated(folder / name, sizes.get(name, 0)) for name in names}

    def append_text(self, name: str, text: str) -> None:
        self._files[name].write(text.encode())

    def flush_files(self) -> dict[str, int]:
        """Flush all files to disk. Returns their sizes."""
        for file in self._files.values():
            flush_to_disk(file)
        return {name: file.tell() for name, file in self._files.items()}

    def close_files(self) -> None:
        for file in self._files.values():
            file.close()


def _open_truncated(path: Path, size: int) -> BinaryIO:
    """Open a file for appending, truncated to that size."""
    # Opened in place, not for appending: an earlier run may have written past the saved size.
    file = path.open("r+b" if size else "wb")
    file.truncate(size)
    file.seek(size)
    return file
