"""Variants of single hub processes that break on purpose.

A process gets its variant from a `sitecustomize` module, which `environment` writes into a folder of the test.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from itertools import count
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


def count_in_a_row(_: Any) -> Callable[..., dict[str, int]]:
    """Return a function that counts the attempts that failed one after the other, whatever was answered."""

    def count_failures(counts: Mapping[str, int], _: Any, *, is_failure: bool) -> dict[str, int]:
        return {"": counts.get("", 0) + 1} if is_failure else {}

    return count_failures


def stop_after_first_write(function: Callable[..., None]) -> Callable[..., None]:
    """Stop the process (SIGSTOP) as soon as the function of its recorder has returned for its first write."""
    stopped: list[bool] = []

    def run_and_stop(recorder: Any, request: Any) -> None:
        function(recorder, request)
        if request.is_write and not stopped:
            stopped.append(True)
            os.kill(os.getpid(), signal.SIGSTOP)
            # Another thread may take the signal: this one must not go on until all are stopped.
            time.sleep(0.5)

    return run_and_stop


def die_before_wake_up(wake: Callable[..., None]) -> Callable[..., None]:
    """Kill the process at the first of its new records that other records lack, and at every second one after that:
    once the record is linked, and before the others are woken.
    """
    lacked = count()

    def die_or_wake(delivery: Any) -> None:
        from sync.models import MissingReference  # the registry of models is not ready when a variant is made

        is_lacked = MissingReference.objects.filter(
            entity_id=delivery.entity_id, entity_type=delivery.entity_type, due_at=None
        ).exists()
        if is_lacked and next(lacked) % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        wake(delivery)

    return die_or_wake


def do_nothing(_: Any) -> Callable[..., None]:
    """Return a function that does nothing."""
    return lambda *_: None


_RECORDED, _CHECKED, _TAKEN_OVER = (
    "sync.attempts.call_log:AttemptRecorder.record_request",
    "sync.attempts.call_log:AttemptRecorder.check_before_sending",
    "sync.attempts.call_log:renew_rechecks",
)
_DIES = {"sync.attempts.delivery_run:schedule_referring": die_before_wake_up}
_POISON = {"sync.attempts.plan:_fetch_current_entity": die_of_poison}

VARIANTS: Mapping[str, Mutant] = {
    "poison": Mutant("One entity kills the process that fetches it.", _POISON),
    "poison-never-alone": Mutant(
        "One entity kills the process that fetches it, and deaths of its delivery are not counted.",
        _POISON | {"sync.deliveries.predicates:ISOLATION_DEATHS": lambda _: 30_000},
    ),
    "stops-before-check": Mutant(
        "The process is stopped after its write is on record, before it checks its lease.",
        {_RECORDED: stop_after_first_write},
    ),
    "stops-before-check-and-sends": Mutant(
        "The process is stopped after its write is on record, and does not check its lease before it sends.",
        {_RECORDED: stop_after_first_write, _CHECKED: do_nothing},
    ),
    "stops-after-check": Mutant(
        "The process is stopped after it checked its lease, before the first byte of its write.",
        {_CHECKED: stop_after_first_write},
    ),
    "stops-after-check-and-forgets": Mutant(
        "The process is stopped before the first byte of its write, and does nothing when it finds that it was taken over.",
        {_CHECKED: stop_after_first_write, _TAKEN_OVER: do_nothing},
    ),
    "dies-before-wake-up": Mutant(
        "The process dies after it has linked a record, before it wakes the deliveries that lack it.", _DIES
    ),
    "dies-and-looks-no-more": Mutant(
        "A delivery that waits for a record looks again only if it is woken, and the process that should do so dies.",
        _DIES
        | {"sync.references.missing_references:wait_delay": lambda _: lambda *_: broken_functions.TEN_YEARS},
    ),
    "dies-and-forgets-to-complete": Mutant(
        "A record that lacks references is completed only if it is woken, and the process that should do so dies.",
        _DIES | {"sync.references.missing_references:schedule_all_arrived": lambda _: lambda: 0},
    ),
    "remembers-no-reference": Mutant(
        "The references that a record lacks are not remembered.",
        {"sync.attempts.settle:store_missing": lambda _: lambda *_, **__: None},
    ),
    "no-rechecks": Mutant(
        "An attempt whose write may still arrive gets no re-checks.",
        {"sync.models.delivery:Delivery.gets_rechecks": lambda _: property(lambda _: False)},
    ),
    "no-breaker": Mutant(
        "A system that is down is asked again and again.",
        {"sync.limits.circuit_breaker:is_system_failure": lambda _: blame_nobody},
    ),
    "failures-in-a-row": Mutant(
        "A breaker opens after failed attempts in a row, and again at the first failure after its pause.",
        {
            "sync.limits.circuit_breaker:count_failures": count_in_a_row,
            "sync.limits.circuit_breaker:PROBE_FAILURES_PER_SUCCESS": lambda _: 0,
        },
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
        {"sync.deliveries.claims:_must_end_first": broken_functions.let_them_all_run},
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
