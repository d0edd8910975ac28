"""`python -m tests.upgrade.examine`: upgrade the copy in DATABASE_URL, use it, and print what came of it as JSON.

In a process of its own, because the copy has its own keys, and a process keeps keys and rows of its database in memory.
"""

import importlib.util
import io
import json
import shutil
import sys
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any


def main(folder: Path, release: Path, stored: Path) -> None:
    """Run every step. `folder` has the copy, `release` and `stored` what the release left."""
    import django

    django.setup()
    from django.core.management import call_command

    from integration_hub.schema_version import check_schema
    from tests.upgrade.used_hub import (
        describe_refusal_of_newer,
        describe_schema,
        export_events,
        finish_open_deliveries,
        list_events,
        open_pages,
    )

    check_schema(accepts_older=True)
    call_command("migrate", verbosity=0)
    check_schema()
    outcomes: dict[str, Any] = {"schema": describe_schema(), "events": list_events()}
    outcomes["pages"] = open_pages()
    outcomes["open"] = finish_open_deliveries(folder / "systems")
    checkpoint = stored / "checkpoint.json"
    outcomes["verify_audit"] = _run(lambda: call_command("verify_audit", checkpoint=checkpoint))
    present = export_events(folder)
    own = {name: Path(path) for name, path in _present_programs().items()}
    earlier = {name: release / name for name in own}
    old = _unpack(stored / "events.zip", folder / "old")
    new = _unpack(present, folder / "new")
    outcomes["exports"] = {
        f"{age} {name}": _run_program(paths[name], export, checkpoint)
        for age, paths, export in (("present", own, old), ("earlier", earlier, new))
        for name in own
    }
    outcomes["refusal"] = describe_refusal_of_newer()
    json.dump(outcomes, sys.stdout)


def _present_programs() -> dict[str, str]:
    from audit.export import verify
    from exports.bundle.shipped import check_rows

    return {"verify.py": verify.__file__, "check_rows.py": check_rows.__file__}


def _unpack(archive: Path, into: Path) -> Path:
    shutil.rmtree(into, ignore_errors=True)
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(into)
    return into / "export"


def _run_program(path: Path, export: Path, checkpoint: Path) -> tuple[int, str]:
    """Run a standalone program on an export as its `main` does. Returns its exit status and what it printed."""
    spec = importlib.util.spec_from_file_location(f"program_{abs(hash(path))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    arguments = [str(export), *(["--checkpoint", str(checkpoint)] if path.name == "verify.py" else [])]
    return _run(lambda: module.main(arguments))


def _run(program: Any) -> tuple[int, str]:
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            status = program() or 0
        except SystemExit as ended:
            status = ended.code
        except Exception as error:
            printed.write(str(error))
            status = getattr(error, "returncode", 99)
    return int(status), printed.getvalue()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
