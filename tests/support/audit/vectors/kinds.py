"""The published test vectors by name: which export, which fault in it, which outside checkpoint."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.audit.log_state import LogState
from tests.support.audit.vectors import faults
from tests.support.audit.vectors.bundles import (
    PRUNED,
    log_in_another_order,
    log_with_a_late_segment,
    log_with_an_empty_segment,
    log_with_an_erasure,
    log_with_odd_characters,
    older_log,
    pruned_log,
    small_log,
    write_filtered,
    write_whole,
)
from tests.support.audit.vectors.faults import Change


@dataclass(frozen=True, slots=True)
class GoodVector:
    """A correct export. `checkpoint`: the number of segments of the outside checkpoint, 0 for none."""

    about: str
    checkpoint: int = 0


@dataclass(frozen=True, slots=True)
class BadVector:
    """A good export with a fault. `code`: empty if the program cannot begin. `steps`: what the one who runs it makes, because an archive may not hold it. `is_signed`: the manifest is made and signed again."""

    base: str
    code: str
    about: str
    change: Change | None = None
    checkpoint: str = ""
    steps: tuple[tuple[str, ...], ...] = ()
    is_signed: bool = True


GOOD = {
    "whole": GoodVector("all five segments of a log"),
    "whole-with-checkpoint": GoodVector("the same, with an outside checkpoint of all five segments", 5),
    "whole-with-older-checkpoint": GoodVector("the same, with an outside checkpoint of three segments", 3),
    "whole-one-segment": GoodVector("segment 4 alone"),
    "whole-part": GoodVector("segments 2 to 4, with an outside checkpoint of three", 3),
    "whole-to-the-end": GoodVector("segments 2 to 5"),
    "whole-empty-segment": GoodVector("five segments, of which the third has no entry"),
    "whole-older": GoodVector("an export from the time when the log had three segments"),
    "whole-no-segment": GoodVector("a range without any segment"),
    "whole-pruned": GoodVector("segments 3 to 5; the entries of 1 and 2 were deleted, as segment 5 says"),
    "whole-erased": GoodVector("a log with the entry of an erasure"),
    "whole-any-order": GoodVector("two entries stand before the ones that they continue"),
    "whole-late": GoodVector("`late` of a segment is true"),
    "whole-characters": GoodVector("an entry with U+007F, U+2028 and a surrogate pair"),
    "filtered": GoodVector("all streams"),
    "filtered-one-stream": GoodVector("one stream"),
    "filtered-empty": GoodVector("no stream: nothing matched the filter"),
    "filtered-with-consistency": GoodVector("all streams, with an outside checkpoint of three segments", 3),
    "filtered-pruned": GoodVector("streams whose first entries were deleted"),
    "filtered-erased": GoodVector("the stream of an erasure"),
}


def log_of(name: str) -> LogState:
    """Return the log that a vector is of."""
    if "pruned" in name:
        return pruned_log()
    if "erased" in name:
        return log_with_an_erasure()
    if name == "whole-older":
        return older_log()
    logs = {
        "whole-empty-segment": log_with_an_empty_segment,
        "whole-any-order": log_in_another_order,
        "whole-late": log_with_a_late_segment,
        "whole-characters": log_with_odd_characters,
    }
    return logs.get(name, small_log)()


def write_good(name: str, folder: Path) -> None:
    """Write one of the correct exports."""
    state = log_of(name)
    parts = {
        "whole-one-segment": (4, 4),
        "whole-part": (2, 4),
        "whole-to-the-end": (2, 5),
        "whole-pruned": (PRUNED + 1, 5),
        "whole-no-segment": (6, 5),
    }
    streams = {
        "filtered-one-stream": ["setting:signing-key"],
        "filtered-empty": [],
        "filtered-erased": ["erasure:01M8HBWWN5EB4B3QKPYQ1Q4WCZ"],
    }
    pruned = PRUNED if "pruned" in name else 0
    if name.startswith("whole"):
        write_whole(folder, state, *parts.get(name, (1, 5)), pruned=pruned)
    else:
        earlier = (2, 3, 4) if name.endswith("consistency") else ()
        write_filtered(folder, state, streams.get(name), earlier=earlier, pruned=pruned)


def read_bad(file: str, module: ModuleType, default_base: str = "") -> dict[str, BadVector]:
    """Return the bad vectors that a file lists. Their changes are functions of a module."""
    rows = tomllib.loads((Path(__file__).parent / file).read_text("utf-8"))
    return {
        name: BadVector(
            row.get("base", default_base),
            row["code"],
            row["about"],
            _change(module, row["change"]) if "change" in row else None,
            row.get("checkpoint", ""),
            tuple(map(tuple, row.get("steps", ()))),
            row.get("is_signed", True),
        )
        for name, row in rows.items()
    }


def _change(module: ModuleType, call: list[Any]) -> Change:
    """Return the function of a module, or what it returns for these arguments. A last table has the named ones."""
    name, *arguments = call
    named = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
    function = getattr(module, name)
    return function(*arguments, **named) if call[1:] else function


BAD = read_bad("bad.toml", faults)
