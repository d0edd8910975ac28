"""Files and folders that only the user of the hub can open."""

import os
from contextlib import suppress
from pathlib import Path

_OTHERS = 0o007
_MAY_READ_OR_WRITE, _MAY_PASS = 0o006, 0o001


def make_new_files_private() -> None:
    """Let this process create files for its own user only: databases, exports, locks, whatever they are."""
    os.umask(0o077)


def make_folder_private(folder: Path) -> None:
    """Create a folder that other users cannot open, or remove their access to an existing one.

    Does nothing to a folder that belongs to another user.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    if mode & _OTHERS:
        with suppress(OSError):
            folder.chmod(mode & ~_OTHERS)


def is_open_to_others(path: Path) -> bool:
    """Return True if every user of the machine can read or change it: no folder above it keeps them out.

    Access of a group is a decision of the operator. A path that does not exist, or cannot be read, is not open.
    """
    try:
        found = path.resolve(strict=True)
        is_open = found.stat().st_mode & (_MAY_READ_OR_WRITE | (_MAY_PASS if found.is_dir() else 0))
        return bool(is_open) and all(folder.stat().st_mode & _MAY_PASS for folder in found.parents)
    except OSError:
        return False
