"""The archive: the same files give the same bytes, whenever and wherever they are packed."""

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_BLOCK_BYTES = 1 << 20


def pack_archive(folder: Path, archive: Path, heartbeat: Callable[[], None]) -> tuple[int, str]:
    """Pack a folder's files, in the order of their names; size and SHA-256 of the archive.

    It takes its name when it is whole and on the disk.
    """
    part = archive.with_suffix(".part")
    part.touch(mode=0o600)
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(folder.iterdir()):
            told = zipfile.ZipInfo(f"export/{path.name}", _ZIP_EPOCH)
            told.compress_type, told.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            told.file_size = path.stat().st_size
            with path.open("rb") as file, packed.open(told, "w") as member:
                while piece := file.read(_BLOCK_BYTES):
                    member.write(piece)
                    heartbeat()
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while piece := file.read(_BLOCK_BYTES):
            digest.update(piece)
            heartbeat()
        os.fsync(file.fileno())
        size = file.tell()
    part.replace(archive)
    return size, digest.hexdigest()
