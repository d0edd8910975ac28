"""Pack an export into a ZIP archive: the same files give the same bytes at any time and on any machine."""

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

# The earliest time that a ZIP entry can carry: a fixed one keeps the bytes of the archive reproducible.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_BLOCK_BYTES = 1 << 20


def pack_archive(folder: Path, archive: Path, heartbeat: Callable[[], None]) -> tuple[int, str]:
    """Pack the files of a folder, ordered by name. Returns the size and the SHA-256 of the archive.

    The archive gets its final name only once all of it is flushed to disk.
    """
    part = archive.with_suffix(".part")
    # Private before the first byte: the rows are personal data.
    part.touch(mode=0o600)
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"export/{path.name}", _ZIP_EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            # zipfile decides by the size whether the entry needs ZIP64.
            entry.file_size = path.stat().st_size
            with path.open("rb") as file, packed.open(entry, "w") as target:
                while block := file.read(_BLOCK_BYTES):
                    target.write(block)
                    heartbeat()
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            heartbeat()
        os.fsync(file.fileno())
        size = file.tell()
    part.replace(archive)
    return size, digest.hexdigest()
