"""The published test vectors as they are in the repository: their exports put together, and what a verifier says of them."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

ARCHIVE = Path(__file__).resolve().parents[4] / "docs" / "audit-vectors" / "vectors.zip"
with zipfile.ZipFile(ARCHIVE) as _archive:
    FILES = {name: _archive.read(name) for name in _archive.namelist()}
VECTORS = json.loads(FILES["vectors.json"])["vectors"]
BY_NAME = {vector["name"]: vector for vector in VECTORS}


def names_for(program: str) -> list[str]:
    """Return the names of the vectors of a program."""
    return [name for name, vector in BY_NAME.items() if vector["program"] == program]


def read_folder(folder: str) -> dict[str, bytes]:
    """Return the contents of the files in a folder of the archive, by name."""
    return {
        name.removeprefix(f"{folder}/"): content
        for name, content in FILES.items()
        if name.startswith(f"{folder}/")
    }


def link_file(folder: Path, name: str) -> None:
    (folder / name).rename(folder.parent / name)
    (folder / name).symlink_to(folder.parent / name)


def link_folder(folder: Path, name: str) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder / name).symlink_to(folder.parent / "elsewhere")


def make_pipe(folder: Path, name: str) -> None:
    os.mkfifo(folder / name)


STEPS = {"link-file": link_file, "link-folder": link_folder, "make-pipe": make_pipe}


def assemble(vector: dict[str, Any], scratch: Path) -> tuple[Path, Path | None]:
    """Return the folder of a vector's export, put together as the description says, and the checkpoint file."""
    folder = scratch / "export"
    folder.mkdir(parents=True)
    contents = read_folder(vector["export"])
    for name in vector["remove"]:
        del contents[name]
    if vector["files"]:
        contents |= read_folder(vector["files"])
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for step, name in vector["steps"]:
        STEPS[step](folder, name)
    if vector["checkpoint"] is None:
        return folder, None
    checkpoint = scratch / "checkpoint.json"
    if vector["checkpoint"] in FILES:
        checkpoint.write_bytes(FILES[vector["checkpoint"]])
    return folder, checkpoint


def verifier_arguments(folder: Path, checkpoint: Path | None) -> list[str]:
    return [str(folder), *(["--checkpoint", str(checkpoint)] if checkpoint else [])]


def run_main(main: Callable[[list[str]], int], arguments: list[str]) -> tuple[int, str | None]:
    """Return the exit code of a verifier and the code of its first fault. Runs it in this process."""
    output = StringIO()
    with redirect_stdout(output), redirect_stderr(StringIO()):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, first_code(output.getvalue())


def run_script(script: Path, arguments: list[str]) -> tuple[int, str | None]:
    """Return the exit code of a verifier and the code of its first fault. Runs it in a separate process."""
    command = [sys.executable, "-I", str(script), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env={}, check=False, timeout=60)
    assert result.stderr == ""
    return result.returncode, first_code(result.stdout)


def first_code(output: str) -> str | None:
    match = re.match(r"FAULT \[([a-z-]+)\] ", output)
    return match[1] if match else None
