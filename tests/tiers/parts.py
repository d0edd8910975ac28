"""The parts of `make nightly`, and what `.ci/run` tries of them for a change."""

import datetime
import sys
import tomllib

from tests.mutants.changes import changed_files
from tests.tiers.runs import Part, ResumableRun, format_result, pytest_part
from tests.tiers.selection import NIGHTLY, listed_tests

# The Makefile has the same expression.
GATE = "not submission and not nightly and not faults and not peers"
MUTANTS_A_NIGHT = 20
_MUTANTS = [sys.executable, "-m", "tests.mutants"]
_ALL_ROWS = {"HUB_TEST_ROWS": "all"}


def nightly_parts(seed: str) -> list[Part]:
    """Return the parts of `make nightly`: what neither `make check` nor `make submission` runs on the same commit. `seed`
    is the day, by which mutants are drawn, and a seventh of the broken variants is chosen.
    """
    sqlite, postgresql = {"HUB_TEST_DATABASE": "sqlite"}, {"HUB_TEST_DATABASE": "postgresql"}
    spread, grouped = ("-n", "2", "--dist", "worksteal"), ("-n", "2", "--dist", "loadgroup")
    rest = "not faults and not peers"
    return [
        # Tests with generated examples draw new ones.
        pytest_part("sqlite", f"(nightly or hypothesis) and {rest}", *spread, **sqlite, **_ALL_ROWS),
        pytest_part(
            "postgresql",
            f"(nightly or submission) and {rest} and not pure",
            *spread,
            **postgresql,
            **_ALL_ROWS,
        ),
        pytest_part(
            "postgresql console",
            f"not nightly and not submission and {rest} and not pure",
            "tests/console",
            *spread,
            **postgresql,
        ),
        pytest_part("sqlite faults", "faults and not submission", *grouped, **sqlite, **_ALL_ROWS),
        pytest_part(
            "postgresql faults",
            "faults and not submission and not pure",
            *grouped,
            **postgresql,
            **_ALL_ROWS,
        ),
        pytest_part(
            "celery faults",
            "faults and worker_processes and not submission and not one_engine",
            *grouped,
            **postgresql,
            HUB_TEST_ENGINE="celery",
        ),
        pytest_part("peers", "peers and not submission", "tests/peers", **sqlite),
        Part("newest", [sys.executable, "-m", "tests.tiers", "newest"]),
        Part("variants", [*_MUTANTS, "variants", "--of-day", seed, "--processes", "2"]),
        Part("reach", [*_MUTANTS, "reach"], {"HUB_TEST_DATABASE": "sqlite"}),
        Part("mutants", [*_MUTANTS, "drawn", "--seed", seed, "--count", str(MUTANTS_A_NIGHT)]),
        Part(
            "bench",
            [sys.executable, "-m", "tests.bench", "--clients", "16", "--delays", "0", "--seconds", "5"],
        ),
    ]


def run_nightly() -> int:
    """Run all parts, resuming those of an earlier run of this commit. Returns 1 if one is red."""
    run = ResumableRun("nightly")
    results = [run.run(part) for part in nightly_parts(f"{datetime.datetime.now(datetime.UTC):%Y%m%d}")]
    print(*map(format_result, results), sep="\n")
    for row in listed_tests():
        print(f"failed by chance on {row['moved']}: {row['id']} ({row['seed']}): {row['cause']}")
    return int(any(result.status for result in results))


def run_changed() -> int:
    """Try the broken variants and the real systems that a change concerns."""
    run = ResumableRun("changed")
    results = [run.run(part) for part in changed_parts()]
    print(*map(format_result, results), sep="\n")
    return int(any(result.status for result in results))


def changed_parts() -> list[Part]:
    """Return the parts for what changed since the commit of tests/nightly.toml; all if this clone does not have it."""
    proven = tomllib.loads(NIGHTLY.read_text())["proven"]
    files = changed_files(proven)
    parts = [Part("variants", [*_MUTANTS, "variants", "--since", proven, "--processes", "2"])]
    if files is None or {name.split("/")[0] for name in files} & {"sync", "connectors", "webhooks"}:
        parts.append(
            pytest_part(
                "peers",
                "peers and not submission and not slow_peers",
                "tests/peers",
                HUB_TEST_DATABASE="sqlite",
            )
        )
    return parts
