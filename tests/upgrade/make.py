"""`python -m tests.upgrade.make`: replace the databases of the present release, and list its migrations as released.

Run it once, in the last commit of a release. Both kinds of databases are made by the hub itself (`make_database`).
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.upgrade.releases import FOLDER, KEYS

ROOT = Path(__file__).resolve().parents[2]
_PROGRAMS = ("audit/export/verify.py", "exports/bundle/shipped/check_rows.py")


def main() -> None:
    """Make the folder of the release that `integration_hub.__version__` names."""
    from integration_hub import __version__

    variables = dict(os.environ)
    # Before the databases, which record the identities that it gives to the migrations.
    list_released_migrations(__version__)
    unfinished = FOLDER.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for kind in ("sqlite", "postgresql"):
        (unfinished / kind).mkdir(parents=True)
        command = [sys.executable, "-m", "tests.upgrade.make_database", str(unfinished / kind)]
        environment = variables | {"HUB_TEST_DATABASE": kind, "LOG_FORMAT": "text"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=1800)
    for program in _PROGRAMS:
        shutil.copyfile(ROOT / program, unfinished / Path(program).name)
    (unfinished / "keys.json").write_text(json.dumps(KEYS, indent=1) + "\n")
    shutil.rmtree(FOLDER / __version__, ignore_errors=True)
    FOLDER.mkdir(exist_ok=True)
    unfinished.rename(FOLDER / __version__)
    print(f"Made {FOLDER / __version__}. Commit it with integration_hub/released_migrations.txt.")


def list_released_migrations(version: str) -> None:
    """List the migrations that no earlier release shipped as those of this one, with the digests of their files."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.support.settings")
    import django

    import tests.support.environment  # noqa: F401

    django.setup()
    from integration_hub.schema_version import (
        RELEASED_MIGRATIONS,
        hash_migration,
        migration_files,
        read_released_migrations,
    )

    earlier = [row for row in read_released_migrations() if row[0] != version]
    shipped = {name for _, name, _ in earlier}
    added = [
        (version, name, hash_migration(path))
        for name, path in sorted(migration_files().items())
        if name not in shipped
    ]
    lines = (" ".join(row) for row in (*earlier, *added))
    RELEASED_MIGRATIONS.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


if __name__ == "__main__":
    main()
