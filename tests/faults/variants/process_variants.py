"""Variants of single hub processes that break on purpose.

A process gets its variant from a `sitecustomize` module, which `environment` writes into a folder of the test.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.faults.variants import broken_functions
from tests.faults.variants.mutants import ROOT, Mutant, _Breaker, _require

POISON = "POISON"


def die_of_poison(fetch: Callable[..., Any]) -> Callable[..., Any]:
    """Kill the process that fetches this one entity, as the kernel does when memory runs out."""

    def fetch_or_die(claim: Any, *arguments: Any) -> Any:
        if claim.delivery.entity_id == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        return fetch(claim, *arguments)

    return fetch_or_die


def blame_nobody(_: bool) -> bool:
    """Return False: no failure counts as a failure of the whole system."""
    return False


_POISON = {"sync.attempts.plan:_fetch_current_entity": die_of_poison}

VARIANTS: Mapping[str, Mutant] = {
    "poison": Mutant("One entity kills the process that fetches it.", _POISON),
    "poison-never-alone": Mutant(
        "One entity kills the process that fetches it, and deaths of its delivery are not counted.",
        _POISON | {"sync.deliveries.predicates:SUSPECT_DEATHS": lambda _: 30_000},
    ),
    "no-breaker": Mutant(
        "A system that is down is asked again and again.",
        {"sync.limits.circuit_breaker:is_system_failure": lambda _: blame_nobody},
    ),
    "no-pace": Mutant(
        "The rate limit has no effect.",
        {"sync.limits.rate_limit:wait_for_turn": lambda _: lambda *_: None},
    ),
    "never-looks": Mutant(
        "Workers do not look for due deliveries.",
        {"sync.deliveries.due_deliveries:find_due_ids": lambda _: lambda *_: []},
    ),
    "no-drain": Mutant(
        "A worker ends without waiting for its running deliveries.",
        {"sync.worker.worker:Worker.drain": lambda _: lambda *_: 0},
    ),
    "all-at-once": Mutant(
        "Deliveries of one subject run at the same time.",
        {"sync.deliveries.claims:_goes_first": broken_functions.let_them_all_run},
    ),
}


def environment(folder: Path, name: str | None) -> dict[str, str]:
    """Return the variables that turn a hub process into the variant; none for None. Fails if a target does not exist."""
    if name is None:
        return {}
    _require(VARIANTS[name])
    startup = folder / f"startup-{name}"
    startup.mkdir()
    (startup / "sitecustomize.py").write_text(
        f"from tests.faults.variants.process_variants import install\n\ninstall({name!r})\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(startup), str(ROOT)])}


def install(name: str) -> None:
    """Install the variant in this hub process, before any module of the hub is imported."""
    sys.meta_path.insert(0, _Breaker(VARIANTS[name]))
