"""A mutation replaces one line of the product; `mutants.toml` and `variants/*.toml` list them."""

import dataclasses
import datetime
import tomllib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
DRAWN = FOLDER / "mutants.toml"
VARIANTS = FOLDER / "variants"
DAYS_OF_ALL = 7


class StaleMutation(Exception):
    """The product no longer has the text that a mutation replaces, or has it more than once."""


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A text of one module and what replaces it.

    `line` is where the text was when the mutation was drawn: of several places the nearest is meant. `tests` are node
    ids; each of them must fail, on `database`. A drawn mutation names none: the tests that reach its line are tried.
    `lost` is the reason why a drawn mutation that a test killed once is killed no more.
    """

    name: str
    path: str
    old: str
    new: str
    line: int | None = None
    tests: tuple[str, ...] = ()
    database: str = "sqlite"
    lost: str = ""

    def apply(self, text: str) -> str:
        """Return the mutated text of the module. Raises StaleMutation."""
        return text[: (start := self._find(text))] + self.new + text[start + len(self.old) :]

    def line_number(self, text: str) -> int:
        """Return the number, from 1, of the first line that changes. Raises StaleMutation."""
        return text.count("\n", 0, self._find(text)) + 1

    def _find(self, text: str) -> int:
        starts = list(_occurrences(text, self.old))
        if not starts or (self.line is None and len(starts) > 1):
            raise StaleMutation(f"{self.name}: {self.path} has {len(starts)} times {self.old.strip()!r}")
        wanted = self.line or 0
        return min(starts, key=lambda start: abs(text.count("\n", 0, start) + 1 - wanted))


def _occurrences(text: str, part: str) -> Iterator[int]:
    start = text.find(part)
    while start >= 0:
        yield start
        start = text.find(part, start + 1)


def drawn_mutations() -> list[Mutation]:
    """Return the committed mutations that were drawn at random."""
    return parse_mutations(DRAWN.read_text())


def variants(only: str = "") -> list[Mutation]:
    """Return the broken variants whose file name or module begins with `only`."""
    return [
        mutation
        for path in sorted(VARIANTS.glob("*.toml"))
        for mutation in parse_mutations(path.read_text())
        if path.stem.startswith(only) or mutation.path.startswith(only)
    ]


def share_of_day(mutations: Sequence[Mutation], day: datetime.date) -> list[Mutation]:
    """Return those that are tried on a day: each is once in any seven days, by its name alone."""
    return [one for one in mutations if (zlib.crc32(one.name.encode()) + day.toordinal()) % DAYS_OF_ALL == 0]


def parse_mutations(text: str) -> list[Mutation]:
    """Read a list of mutations. Raises TypeError for an unknown key."""
    rows = tomllib.loads(text)["mutation"]
    return [Mutation(**{**row, "tests": tuple(row.get("tests", ()))}) for row in rows]
