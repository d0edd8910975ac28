"""Run `pg_dump` and `pg_restore` with the settings of the hub's database."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import connections
from psycopg.conninfo import make_conninfo

# Longer than a database of terabytes takes, so that no command waits for ever.
MAX_SECONDS = 24 * 3600.0
_LINES_SHOWN = 5
VERSIONS_FOLDER = Path("/usr/lib/postgresql")


def find_program(name: str) -> str:
    """Return the path of a program of PostgreSQL: in PATH or where Debian installs each version, the oldest one that is
    not older than the server. Raises CommandError if there is none.
    """
    server = int(getattr(connections["default"], "pg_version", 0)) // 10_000
    found = [(version, path) for path in _list_programs(name) if (version := _read_version(path)) is not None]
    fitting = [program for program in found if program[0] >= server]
    if fitting:
        # The first of equal versions is the one in PATH.
        return min(fitting, key=lambda program: program[0])[1]
    if not found:
        raise CommandError(
            f"{name} was not found. Install PostgreSQL's client programs (on Debian: apt install postgresql-client) "
            "and make sure that they are in PATH."
        )
    version, path = max(found)
    raise CommandError(
        f"{path} is version {version}, but the server is {server}. Install the programs of version {server}."
    )


def _list_programs(name: str) -> list[str]:
    """Return where a program may be: first the one that PATH names."""
    in_path = shutil.which(name)
    others = (str(path) for path in sorted(VERSIONS_FOLDER.glob(f"*/bin/{name}")) if os.access(path, os.X_OK))
    return [*([in_path] if in_path else []), *others]


def _read_version(path: str) -> int | None:
    """Return the major version of a program; None if it does not say."""
    shown = subprocess.run(  # noqa: S603
        [path, "--version"], capture_output=True, text=True, timeout=60, check=False
    ).stdout
    version = re.search(r"\d+", shown)
    return int(version[0]) if version else None


def run_program(name: str, *arguments: str | Path) -> None:
    """Run a program of PostgreSQL. Raises CommandError with the last lines of its output, which contain no password."""
    command = [find_program(name), *map(str, arguments)]
    try:
        ended = subprocess.run(  # noqa: S603
            command,
            env=_program_environment(),
            capture_output=True,
            text=True,
            timeout=MAX_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(f"{name} did not finish within {MAX_SECONDS / 3600:g} hours.") from None
    if ended.returncode:
        last = "\n".join(ended.stderr.strip().splitlines()[-_LINES_SHOWN:])
        raise CommandError(f"{name} failed: {last}")


def describe_connection() -> str:
    """Return where the database is, without the password: other users of the machine can see arguments."""
    given = _database_settings()
    options = {
        name: value
        for name, value in given.get("OPTIONS", {}).items()
        if name == "connect_timeout" or (name.startswith("ssl") and name != "sslpassword")
    }
    places = {"dbname": given["NAME"], "user": given["USER"], "host": given["HOST"], "port": given["PORT"]}
    return make_conninfo("", **{name: value for name, value in (options | places).items() if value})


def _database_settings() -> dict[str, Any]:
    return dict(connections["default"].settings_dict)


def _program_environment() -> dict[str, str]:
    password = _database_settings()["PASSWORD"]
    return dict(os.environ) | ({"PGPASSWORD": str(password)} if password else {})
