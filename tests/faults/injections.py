"""Faults that a hub process causes itself at a chosen place of its code: it dies or is stopped there.

`environment` writes a `sitecustomize` module, by which the process wraps one function of the hub as soon as its module is
loaded, so that every importer gets the wrapped one.
"""

import importlib.abc
import importlib.machinery
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
POISON = "POISON"
"""The id of the entity that kills the process which fetches it."""


def _die_of_poison(fetch: Callable[..., Any]) -> Callable[..., Any]:
    """Kill the process that fetches this one entity, as the kernel does when memory runs out."""

    def fetch_or_die(claim: Any, *arguments: Any) -> Any:
        if claim.delivery.entity_id == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        return fetch(claim, *arguments)

    return fetch_or_die


def _stop_after_first_write(function: Callable[..., None]) -> Callable[..., None]:
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


INJECTIONS: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "poison": ("sync.attempts.plan", "_fetch_current_entity", _die_of_poison),
    "stops-before-check": (
        "sync.attempts.call_log",
        "AttemptRecorder.record_request",
        _stop_after_first_write,
    ),
    "stops-after-check": (
        "sync.attempts.call_log",
        "AttemptRecorder.check_before_sending",
        _stop_after_first_write,
    ),
}
"""Name → module, attribute, and the function that wraps it. A target that does not exist ends the process at its start."""


def environment(folder: Path, name: str) -> dict[str, str]:
    """Return the variables by which a hub process causes this fault."""
    startup = folder / f"startup-{name}"
    startup.mkdir(exist_ok=True)
    (startup / "sitecustomize.py").write_text(
        f"from tests.faults.injections import install\n\ninstall({name!r})\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(startup), str(ROOT)])}


def install(name: str) -> None:
    """Install the fault in this hub process, before any module of the hub is imported."""
    sys.meta_path.insert(0, _Wrapper(*INJECTIONS[name]))


class _Wrapper(importlib.abc.MetaPathFinder):
    """A finder that loads one module as Python would and wraps an attribute after the module is executed."""

    def __init__(self, module: str, attribute: str, wrap: Callable[..., Any]) -> None:
        self._module, self._attribute, self._wrap = module, attribute, wrap

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None, f"there is no {fullname}"
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            *path, name = self._attribute.split(".")
            owner: Any = module
            for part in path:
                owner = getattr(owner, part)
            setattr(owner, name, self._wrap(getattr(owner, name)))

        loader.exec_module = exec_module
        return spec
