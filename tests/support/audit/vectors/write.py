"""Write the published test vectors: python -m tests.support.audit.vectors docs/audit-vectors/vectors.zip

Keys, times and entries are drawn from a fixed seed, so that each run writes the same bytes. The private keys are no
secrets: they follow from that seed, and nothing but these vectors may be signed by them.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.format.canonical_json import canonical_json
from audit.format.signed_records import Record, key_id, load_signer, public_key, sign_record
from tests.support.audit.log_state import LogState
from tests.support.audit.vectors.bundles import checkpoint_of, small_log
from tests.support.audit.vectors.faults import Draft
from tests.support.audit.vectors.kinds import BAD, GOOD, BadVector, GoodVector, log_of, write_good
from tests.support.audit.vectors.row_kinds import BAD_ROWS, GOOD_ROWS, row_log_of, write_good_rows

# A key that began after all exports.
STRANGER = b"\x08" * 32


@dataclass(frozen=True, slots=True)
class VectorSet:
    """The vectors of one program. `log_of` returns the log of a good one by its name."""

    program: str
    good: Mapping[str, GoodVector]
    bad: Mapping[str, BadVector]
    write_good: Callable[[str, Path], None]
    log_of: Callable[[str], LogState]
    bad_have_sums: bool = True


SETS = (
    VectorSet("verify.py", GOOD, BAD, write_good, log_of),
    VectorSet("check_rows.py", GOOD_ROWS, BAD_ROWS, write_good_rows, row_log_of, bad_have_sums=False),
)


def write_archive(path: Path) -> None:
    """Write the archive of all vectors. Its bytes depend neither on the time nor on a library: nothing is compressed."""
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        folder = Path(scratch)
        _write_vectors(folder)
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, file.read_bytes())


def _write_vectors(folder: Path) -> None:
    _write_checkpoints(folder / "checkpoints")
    vectors: list[Record] = []
    for chosen in SETS:
        vectors += [_write_good(folder, chosen, name) for name in chosen.good]
        vectors += [_write_bad(folder, chosen, name) for name in chosen.bad]
    _write_json(folder / "vectors.json", {"v": 1, "vectors": vectors})


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=True) + "\n", encoding="ascii")


def _write_checkpoints(folder: Path) -> None:
    folder.mkdir(parents=True)
    log = small_log()
    good = {f"segments-{count}": checkpoint_of(log, count) for count in (2, 3, 5)}
    unsigned = {name: value for name, value in good["segments-5"].items() if name != "signature"}
    older = {name: value for name, value in good["segments-3"].items() if name != "signature"}
    signer = load_signer(log.secrets[-1])
    contents: dict[str, Record] = {
        **good,
        "wrong-head": sign_record("checkpoint", unsigned | {"head": "22" * 32}, signer),
        "wrong-older-head": sign_record("checkpoint", older | {"head": "22" * 32}, signer),
        "newer-key": sign_record(
            "checkpoint",
            unsigned | {"count": 6, "root": "66" * 32, "key": key_id(public_key(STRANGER))},
            load_signer(STRANGER),
        ),
        "wrong-signature": good["segments-5"] | {"at": "2026-03-05T00:00:00.000000Z"},
    }
    for name, record in contents.items():
        (folder / f"{name}.json").write_bytes(canonical_json(record).encode() + b"\n")
    (folder / "no-line-feed.json").write_bytes(canonical_json(good["segments-5"]).encode())


def _write_good(folder: Path, chosen: VectorSet, name: str) -> Record:
    vector = chosen.good[name]
    chosen.write_good(name, folder / "good" / name / "export")
    expected = {
        "name": f"good/{name}",
        "about": vector.about,
        "program": chosen.program,
        "export": f"good/{name}/export",
        "files": None,
        "remove": [],
        "steps": [],
        "checkpoint": f"checkpoints/segments-{vector.checkpoint}.json" if vector.checkpoint else None,
        "verdict": "good",
        "code": None,
        "exit": 0,
    }
    _write_json(folder / "good" / name / "expected.json", expected)
    return expected


def _write_bad(folder: Path, chosen: VectorSet, name: str) -> Record:
    """Write the files of a bad export that differ from those of the good one that it was made from."""
    vector, target = chosen.bad[name], folder / "bad" / name
    base = folder / "good" / vector.base / "export"
    (target / "files").mkdir(parents=True)
    removed: list[str] = []
    if vector.change is not None:
        with tempfile.TemporaryDirectory() as scratch:
            draft = Draft(Path(shutil.copytree(base, Path(scratch) / "export")), chosen.log_of(vector.base))
            vector.change(draft)
            # SHA256SUMS is optional: the many vectors of rows are smaller without it.
            draft.has_sums = chosen.bad_have_sums
            if vector.is_signed:
                draft.finish()
            removed = sorted(
                {path.name for path in base.iterdir()} - {path.name for path in draft.folder.iterdir()}
            )
            for path in draft.folder.iterdir():
                if not (base / path.name).exists() or (base / path.name).read_bytes() != path.read_bytes():
                    shutil.copyfile(path, target / "files" / path.name)
    has_files = any((target / "files").iterdir())
    if not has_files:
        (target / "files").rmdir()
    expected = {
        "name": f"bad/{name}",
        "about": vector.about,
        "program": chosen.program,
        "export": f"good/{vector.base}/export",
        "files": f"bad/{name}/files" if has_files else None,
        "remove": removed,
        "steps": [list(step) for step in vector.steps],
        "checkpoint": f"checkpoints/{vector.checkpoint}" if vector.checkpoint else None,
        "verdict": "faults" if vector.code else "error",
        "code": vector.code or None,
        "exit": 1 if vector.code else 2,
    }
    _write_json(target / "expected.json", expected)
    return expected
