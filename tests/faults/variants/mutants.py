"""Broken variants of the hub, each against one promise, which the fault suite must catch.

The variable HUB_MUTANT of a hub process chooses a variant; `startup/sitecustomize.py` installs it before any module of
the hub is imported. A target is replaced as soon as its module is loaded, so that every importer gets the broken one. A
target that does not exist fails at once: in the test in `environment`, in the process at the import.
"""

import importlib
import importlib.abc
import importlib.machinery
import os
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg

from tests.faults.variants import broken_functions

STARTUP = Path(__file__).resolve().parent / "startup"
ROOT = STARTUP.parents[3]
VARIABLE = "HUB_MUTANT"

Break = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken variant.

    `breaks`: `module:attribute[.attribute]` → function that makes the broken value from the good one. `variables` go
    into the environment, `statements` are run on the prepared database; a variant may consist of these alone.
    """

    sentence: str
    breaks: Mapping[str, Break] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    statements: Sequence[str] = ()

    @property
    def modules(self) -> set[str]:
        return {target.partition(":")[0] for target in self.breaks}

    def apply(self, module: ModuleType) -> None:
        """Replace the targets in this module. Raises AttributeError or ValueError if one does not exist."""
        for target, make in self.breaks.items():
            if target.startswith(f"{module.__name__}:"):
                owner, name, good = _find(module, target)
                setattr(owner, name, make(good))


def _find(module: ModuleType, target: str) -> tuple[Any, str, Any]:
    """Return the owner of a target, its name there, and its current value."""
    *path, name = target.partition(":")[2].split(".")
    owner: Any = module
    for attribute in path:
        owner = getattr(owner, attribute)
    return owner, name, getattr(owner, name)


MUTANTS: Mapping[str, Mutant] = {
    "answer-before-storing": Mutant(
        "A webhook is answered with 202 before it is stored.",
        {"webhooks.views:receive_webhook": broken_functions.answer_first},
    ),
    "batch-in-two-commits": Mutant(
        "The events of a batch are stored in two commits.",
        {"webhooks.receiving.batches:_store_batch": broken_functions.store_halves},
    ),
    "batch-answer-first": Mutant(
        "A batch is answered with 202 before it is stored.",
        {"webhooks.receiving.receive:receive_batch": broken_functions.answer_first},
    ),
    "batch-answers-reversed": Mutant(
        "The results of a batch are in the opposite order of its events.",
        {"webhooks.receiving.outcome_links:batch_answer": broken_functions.reverse_results},
    ),
    "batch-forgets-ids": Mutant(
        "The events of a batch are stored without their ids, so that no repeat is found.",
        {"webhooks.receiving.batches:choose_event_id": broken_functions.find_no_id},
    ),
    "batch-stored-reversed": Mutant(
        "The events of a batch are stored in the opposite order.",
        {"webhooks.receiving.batches:_insert_batch": broken_functions.store_reversed},
    ),
    "batch-loses-an-event": Mutant(
        "The last event of a batch is named in its answer and not stored.",
        {"webhooks.receiving.batches:_insert_batch": broken_functions.store_all_but_one},
    ),
    "row-after-response": Mutant(
        "The row of a write is written after its response.",
        {"sync.attempts.call_log:AttemptRecorder.record_request": broken_functions.record_no_write_before},
    ),
    "settle-without-token": Mutant(
        "The lease token is checked neither before a write nor when an attempt is settled.",
        {
            "sync.deliveries.claims:_RENEW_LEASE": broken_functions.believe_every_token,
            "sync.deliveries.claims:_CHECK_LEASE": broken_functions.believe_every_token_of,
            "sync.attempts.settle:_END_DELIVERY": broken_functions.believe_every_token,
        },
    ),
    "claim-without-constraint": Mutant(
        "Several deliveries of one subject may run at once.",
        {"sync.deliveries.claims:_must_end_first": broken_functions.let_them_all_run},
        statements=("DROP INDEX one_running_delivery_a_subject",),
    ),
    "cover-after-fetch": Mutant(
        "Webhooks that came after the fetch began settle with its outcome.",
        {"sync.attempts.settle:settle_attempt": broken_functions.settle_what_came_later},
    ),
    "lease-for-ever": Mutant(
        "A delivery whose process died is never released.",
        variables={"LEASE_SECONDS": "864000"},
    ),
    "retry-never-due": Mutant(
        "A temporary failure is never retried.",
        {"sync.planning.retry_policy:next_retry_delay": broken_functions.wait_for_ever},
    ),
}


def environment(name: str | None) -> dict[str, str]:
    """Return the variables that turn a hub process into the variant; none for None. Fails if a target does not exist."""
    if name is None:
        return {}
    mutant = MUTANTS[name]
    if not mutant.breaks:
        return dict(mutant.variables)
    _require(mutant)
    path = os.pathsep.join([str(STARTUP), str(ROOT)])
    return {**mutant.variables, "PYTHONPATH": path, VARIABLE: name}


def alter(database: str, name: str | None) -> None:
    """Run the variant's statements on a prepared database, a file or a URL."""
    statements = MUTANTS[name].statements if name else ()
    if database.startswith("postgres"):
        with psycopg.connect(database, autocommit=True) as link:
            for statement in statements:
                link.execute(statement)
        return
    with closing(sqlite3.connect(database)) as file:
        for statement in statements:
            file.execute(statement)
        file.commit()


def _require(mutant: Mutant) -> None:
    """Check that every target exists and can be broken, without replacing it in this process."""
    for target, make in mutant.breaks.items():
        make(_find(importlib.import_module(target.partition(":")[0]), target)[2])


def install() -> None:
    """Install the variant that HUB_MUTANT names in this hub process. Raises KeyError for an unknown name."""
    name = os.environ.get(VARIABLE)
    if name:
        sys.meta_path.insert(0, _Breaker(MUTANTS[name]))


class _Breaker(importlib.abc.MetaPathFinder):
    """A finder that loads the modules of a variant as Python would and breaks each after it is executed."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._mutant.modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            _break_after(spec.loader, self._mutant)
        return spec


def _break_after(loader: Any, mutant: Mutant) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        mutant.apply(module)

    loader.exec_module = exec_module
