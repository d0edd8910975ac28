"""Run a tier of the tests: `python -m tests.tiers nightly`, `changed` (what .ci/run adds), `stress` or `newest`."""

import sys

from tests.tiers.newest import run_newest
from tests.tiers.parts import run_changed, run_nightly
from tests.tiers.stress import run_stress

RUNS = {"nightly": run_nightly, "changed": run_changed, "stress": run_stress, "newest": run_newest}


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in RUNS:
        print(__doc__, file=sys.stderr)
        return 2
    return RUNS[sys.argv[1]]()


if __name__ == "__main__":
    sys.exit(main())
