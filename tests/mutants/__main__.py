"""Try whether tests fail if the product is wrong.

    python -m tests.mutants draw --count 150 --seed 20261201     write mutants.toml anew
    python -m tests.mutants variants [AREA or MODULE]            each broken variant fails each test that it names
    python -m tests.mutants variants --of-day 20261201           the seventh of them that is this day's
    python -m tests.mutants reach [-- PYTEST ARGUMENTS]          record which test reaches which line
    python -m tests.mutants drawn [--seed N --count N]           try the committed mutants, or some drawn anew
    python -m tests.mutants report                               what the last run found

Results are appended to var/mutants/, and what has one there is not tried again: a run can be stopped and resumed.
`--fresh` forgets them.
"""

import argparse
import datetime
import sys
from pathlib import Path

from tests.mutants import reach, trials
from tests.mutants.changes import changed_variants
from tests.mutants.draw import draw, write
from tests.mutants.mutation import DRAWN, ROOT, drawn_mutations, share_of_day, variants
from tests.support.database.template_database import share_templates_between_runs

STATE = ROOT / "var" / "mutants"


def main() -> int:
    arguments = _parser().parse_args()
    share_templates_between_runs()  # migrating a database takes longer than most of the tests of a mutant
    match arguments.command:
        case "draw":
            write(DRAWN, draw(arguments.count, arguments.seed))
            return 0
        case "reach":
            return reach.record(STATE / "coverage", arguments.pytest)
        case "variants":
            results = trials.Results(STATE / "variants.jsonl", fresh=True)
            chosen = changed_variants(arguments.since) if arguments.since else variants(arguments.only)
            if arguments.of_day is not None:
                chosen = share_of_day(chosen, arguments.of_day)
            return trials.try_variants(chosen, STATE, results, arguments.processes)
        case "drawn":
            seed = arguments.seed
            mutations = drawn_mutations() if seed is None else draw(arguments.count, seed)
            name = "drawn" if seed is None else f"drawn-{seed}"
            results = trials.Results(arguments.results or STATE / f"{name}.jsonl", fresh=arguments.fresh)
            reached = reach.Reach(arguments.coverage or STATE / "coverage")
            return trials.try_drawn(mutations, STATE, reached, results, arguments.processes)
        case _:
            return trials.report(trials.Results(arguments.results or STATE / "drawn.jsonl"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    draw_command = commands.add_parser("draw")
    draw_command.add_argument("--count", type=int, default=150)
    draw_command.add_argument("--seed", type=int, required=True)
    variants_command = commands.add_parser("variants")
    variants_command.add_argument("only", nargs="?", default="")
    variants_command.add_argument(
        "--since", help="only those whose row, function or tests changed since this commit"
    )
    variants_command.add_argument("--of-day", type=_day, help="only those of this day, by date")
    variants_command.add_argument("--processes", type=int, default=1)
    reach_command = commands.add_parser("reach")
    reach_command.add_argument("pytest", nargs="*")
    drawn = commands.add_parser("drawn")
    drawn.add_argument("--seed", type=int)
    drawn.add_argument("--count", type=int, default=20)
    drawn.add_argument("--fresh", action="store_true")
    drawn.add_argument("--processes", type=int, default=2)
    report = commands.add_parser("report")
    for command in (drawn, report):
        command.add_argument("--results", type=Path)
    drawn.add_argument("--coverage", type=Path)
    return parser


def _day(text: str) -> datetime.date:
    return datetime.datetime.strptime(text, "%Y%m%d").replace(tzinfo=datetime.UTC).date()


if __name__ == "__main__":
    sys.exit(main())
