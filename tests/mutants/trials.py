"""Try mutations in copies of the checkout, some at a time, and keep the results in a file."""

import json
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.mutants.copies import Copy
from tests.mutants.mutation import ROOT, Mutation, StaleMutation
from tests.mutants.reach import Reach

# Tests are tried in steps, those that reach the fewest modules first: most mutants are killed by the first step.
STEPS = (25, 150, 1000)
SECONDS_OF_A_STEP = (600.0, 1800.0, 3600.0)  # of a mutant that never ends; a busy machine is slow
SECONDS_OF_A_VARIANT = 900.0
KILLED = ("failed", "timeout")


class Results:
    """Results by mutation, in a file of JSON lines to which each is appended once it is known."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self._path, self._lock = path, threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.unlink(missing_ok=True)
        rows = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
        self.by_key: dict[str, dict[str, Any]] = {row["key"]: row for row in rows}

    def add(self, mutation: Mutation, result: str, detail: Any = "") -> None:
        row = {"key": _key(mutation), "name": mutation.name, "result": result, "detail": detail}
        with self._lock:
            self.by_key[row["key"]] = row
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{mutation.name}: {result} {detail}", flush=True)

    def has(self, mutation: Mutation) -> bool:
        return _key(mutation) in self.by_key


def _key(mutation: Mutation) -> str:
    return json.dumps([mutation.path, mutation.line, mutation.old, mutation.new])


def try_variants(mutations: Sequence[Mutation], state: Path, results: Results, processes: int) -> int:
    """Try each broken variant with the tests that it names. Returns 1 if one of these passed with it."""

    def try_one(copy: Copy, mutation: Mutation) -> None:
        with copy.mutated(mutation):
            passed = [
                test
                for test in mutation.tests
                if copy.run_tests([test], mutation.database, SECONDS_OF_A_VARIANT, "-x") not in KILLED
            ]
        results.add(mutation, "survived" if passed else "failed", passed)

    _try_all(mutations, state, results, processes, try_one)
    print(f"{len(mutations)} broken variants tried")
    return report(results)


def try_drawn(
    mutations: Sequence[Mutation], state: Path, reach: Reach, results: Results, processes: int
) -> int:
    """Try each mutation with the tests that reach its line, until one fails. Returns 1 if a kill was lost without reason."""

    def try_one(copy: Copy, mutation: Mutation) -> None:
        tests = reach.tests_of(mutation.path, mutation.line_number((ROOT / mutation.path).read_text()))
        if not tests:
            results.add(mutation, "unreached")
            return
        start = 0
        with copy.mutated(mutation):
            for size, seconds in zip(STEPS, SECONDS_OF_A_STEP, strict=True):
                step = tests[start : start + size]
                if step and (result := copy.run_tests(step, "sqlite", seconds, "-x")) in KILLED:
                    results.add(mutation, result, f"{start + len(step)} of {len(tests)} tests")
                    return
                start += size
        results.add(mutation, "survived", f"{len(tests)} tests")

    _try_all(mutations, state, results, processes, try_one)
    return report(results)


def _try_all(
    mutations: Sequence[Mutation],
    state: Path,
    results: Results,
    processes: int,
    try_one: Callable[[Copy, Mutation], None],
) -> None:
    copies: queue.Queue[Copy] = queue.Queue()
    for number in range(processes):
        copies.put(Copy(state / f"copy-{number}"))

    def try_in_copy(mutation: Mutation) -> None:
        copy = copies.get()
        try:
            try_one(copy, mutation)
        except StaleMutation as error:
            results.add(mutation, "stale", str(error))
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(try_in_copy, [mutation for mutation in mutations if not results.has(mutation)]))


def report(results: Results) -> int:
    """Print what survived and the totals. Returns 1 if something survived or is stale."""
    rows = sorted(results.by_key.values(), key=lambda row: row["name"])
    alive = [row for row in rows if row["result"] not in KILLED]
    for row in alive:
        print(f"{row['result']}: {row['name']} {row['detail']} {row['key']}")
    print(f"{len(rows) - len(alive)} of {len(rows)} killed")
    return int(bool(alive))
