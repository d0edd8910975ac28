"""The command `python -m tests.bench`: see `--help`. Tables go to standard output, progress to standard error."""

import argparse
import re
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.bench.account.cpu_account import account, show
from tests.bench.machinery.databases import sync_milliseconds
from tests.bench.machinery.systems import Systems, running_systems
from tests.bench.reports.comparison_report import limits, show_comparisons
from tests.bench.reports.export_report import show_export
from tests.bench.reports.report import as_rows, comparison, surroundings, write
from tests.bench.reports.targets import verdicts
from tests.bench.subjects.ablation import PARTS, ROUNDS, SECONDS, measure_part, show_parts
from tests.bench.subjects.comparison import QUICK, Plan, compare
from tests.bench.subjects.comparison_costs import STAND_INS, measure_comparisons
from tests.bench.subjects.console import REPEATS, measure_console, show_console
from tests.bench.subjects.exports import measure_export
from tests.bench.subjects.growth import grow, show_growth
from tests.bench.subjects.measurement import SUBJECTS
from tests.bench.subjects.memory import show_memory, watch_memory
from tests.bench.subjects.other_commit import ROUNDS as AGAINST_ROUNDS
from tests.bench.subjects.other_commit import SECONDS as AGAINST_SECONDS
from tests.bench.subjects.other_commit import compare_with, show_against
from tests.bench.subjects.server_commands import measure_servers, show_servers


def numbers(text: str) -> tuple[int, ...]:
    """Parse a list of numbers such as `1,16,64`."""
    return tuple(int(name) for name in text.split(","))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round at 16 clients: does it run")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="one of them; both unless said")
    parser.add_argument("--clients", type=numbers, help="for example 1,16,64")
    parser.add_argument("--delays", type=numbers, help="milliseconds that a call takes, for example 0,20")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each steady part")
    parser.add_argument("--only", help="some of " + ",".join(subject.name for subject in SUBJECTS))
    parser.add_argument("--account", action="store_true", help="where the CPU of one event goes")
    parser.add_argument("--export", action="store_true", help="what an export costs and whether it is whole")
    parser.add_argument("--compare", action="store_true", help="what comparisons of two systems cost")
    parser.add_argument(
        "--people", type=numbers, default=(10_000, 100_000), help="for --compare: timed, and for the memory"
    )
    parser.add_argument("--console", action="store_true", help="what the pages of the console cost")
    parser.add_argument(
        "--events", type=int, help="for the account (300), the export and the console (100,000)"
    )
    parser.add_argument(
        "--servers", action="store_true", help="gunicorn with the hub's worker against its own and granian"
    )
    parser.add_argument(
        "--without", help="what parts cost or save, one by one: all, or some of " + ",".join(PARTS)
    )
    parser.add_argument(
        "--against", metavar="COMMIT", help="this checkout and a clone of another commit, in turn"
    )
    parser.add_argument(
        "--web-processes",
        type=int,
        help="instead of those of docs/operations/install.md; against a commit, 1",
    )
    parser.add_argument("--growth", action="store_true", help="cost by what is stored")
    parser.add_argument("--sizes", type=numbers, default=(10_000, 100_000, 1_000_000), help="for the growth")
    parser.add_argument(
        "--memory", type=int, metavar="EVENTS", help="memory over so many events, such as 100000"
    )
    return parser.parse_args()


def plan(given: argparse.Namespace) -> Plan:
    """Return the default plan, or the quick one, with the given options applied."""
    options = {
        name: getattr(given, name) for name in ("clients", "delays", "rounds", "seconds", "web_processes")
    }
    chosen = replace(
        QUICK if given.quick else Plan(), **{name: value for name, value in options.items() if value}
    )
    if given.only:
        names = given.only.split(",")
        chosen = replace(chosen, subjects=tuple(subject for subject in SUBJECTS if subject.name in names))
    return chosen


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    given = arguments()
    kinds = [given.database] if given.database else ["sqlite", "postgresql"]
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as name:
        folder = Path(name)
        where = surroundings(sync_milliseconds(folder))
        print(where, end="\n\n")
        stand_ins = [STAND_INS] if given.compare else []
        with running_systems(*stand_ins) as systems:
            bench = Bench(given, kinds, systems, folder)
            topic, taken = bench.run()
        print(f"\nKept in {write(topic, {'surroundings': where, topic: taken})}")


@dataclass(frozen=True, slots=True)
class Bench:
    """The parts of the benchmark. Each part prints its tables and returns the figures to store."""

    given: argparse.Namespace
    kinds: list[str]
    systems: Systems
    folder: Path

    def run(self) -> tuple[str, object]:
        """Run the chosen part. Returns its name and its figures."""
        if self.given.account:
            return "account", self._account()
        if self.given.servers:
            return "servers", self._servers()
        if self.given.without:
            return "parts", self._parts()
        if self.given.growth:
            return "growth", self._growth()
        if self.given.against:
            return "against", self._against()
        if self.given.compare:
            return "comparisons", self._comparisons()
        if self.given.export:
            return "export", self._export()
        if self.given.console:
            return "console", self._console()
        if self.given.memory:
            return "memory", self._memory()
        return "comparison", self._comparison()

    def _comparison(self) -> object:
        rounds = compare(plan(self.given), self.kinds, self.systems, self.folder)
        lines = verdicts(rounds)
        print(f"{comparison(rounds)}\n\n{lines}")
        if re.search(r"^(ERRORS|UNEQUAL)", lines, re.MULTILINE):
            raise SystemExit("webhooks failed, or the subjects did not do the same work")
        return as_rows(rounds)

    def _account(self) -> object:
        taken = []
        for kind in self.kinds:
            taken += account(kind, self.systems, self.folder, self.given.events or 300)
        print("\n\n".join(show(reading) for reading in taken))
        return taken

    def _servers(self) -> object:
        found, chosen = {}, plan(self.given)
        for kind in self.kinds:
            taken = measure_servers(kind, self.systems, self.folder, chosen.rounds, chosen.seconds)
            print(f"## {kind}\n\n{show_servers(taken)}\n")
            found[kind] = {name: as_rows(rounds) for name, rounds in taken.items()}
        return found

    def _parts(self) -> object:
        found, given = {}, self.given
        rounds, seconds = given.rounds or ROUNDS, given.seconds or SECONDS
        parts = PARTS if given.without == "all" else given.without.split(",")
        for kind in self.kinds:
            taken = {
                part: measure_part(part, kind, self.systems, self.folder, rounds, seconds) for part in parts
            }
            print(f"## {kind}\n\n{show_parts(taken)}\n")
            found[kind] = {
                part: {name: as_rows(variant) for name, variant in variants.items()}
                for part, variants in taken.items()
            }
        return found

    def _growth(self) -> object:
        found, rounds = [], self.given.rounds or 2
        for kind in self.kinds:
            stages = grow(kind, self.systems, self.folder, self.given.sizes, rounds)
            print(show_growth(stages), end="\n\n")
            found += [asdict(stage) for stage in stages]
        return found

    def _against(self) -> object:
        given = self.given
        rounds, seconds = given.rounds or AGAINST_ROUNDS, given.seconds or AGAINST_SECONDS
        rows = compare_with(given.against, self.kinds, rounds, seconds, given.web_processes or 1)
        print(show_against(given.against, rows))
        return rows

    def _comparisons(self) -> object:
        found = []
        for kind in self.kinds:
            figures = measure_comparisons(kind, self.systems, self.folder, *self.given.people)
            print(show_comparisons(figures), end="\n\n", flush=True)
            found.append(figures)
        if not all(is_kept for figures in found for _, is_kept in limits(figures)):
            raise SystemExit("a limit was missed")
        return [asdict(figures) for figures in found]

    def _export(self) -> object:
        found, events = [], self.given.events or 100_000
        for kind in self.kinds:
            figures = measure_export(kind, self.systems, self.folder, events)
            print(show_export(figures), end="\n\n")
            found.append(figures)
        return found

    def _console(self) -> object:
        found, events = [], self.given.events or 100_000
        for kind in self.kinds:
            repeats = self.given.rounds or REPEATS
            figures = measure_console(kind, self.systems, self.folder, events, repeats)
            print(show_console(figures), end="\n\n")
            found.append(figures)
        return found

    def _memory(self) -> object:
        found = {}
        for kind in self.kinds:
            readings = watch_memory(kind, self.systems, self.folder, self.given.memory)
            print(show_memory(kind, readings), end="\n\n")
            found[kind] = [asdict(reading) for reading in readings]
        return found


if __name__ == "__main__":
    main()
