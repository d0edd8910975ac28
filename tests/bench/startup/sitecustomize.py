"""Run by every Python process that has this folder on its PYTHONPATH: with BENCH_WITHOUT=audit the hub appends nothing
to its audit log, so that what the log costs can be seen.

A sitecustomize of the machine itself is hidden by this one; the benchmark needs none.
"""

import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_TARGET = "audit.entries.append"


class _Silent(Loader):
    """Loads the module and makes its appends do nothing."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._real.exec_module(module)
        none: dict[str, Any] = {
            "append_entries": None,
            "prepare_append": module.PreparedAppend((), {}),
        }
        for name, result in none.items():
            assert hasattr(module, name), f"{_TARGET} has no {name} any more"
            setattr(module, name, lambda *_, result=result, **__: result)


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != _TARGET:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Silent(spec.loader)
        return spec


if os.environ.get("BENCH_WITHOUT") == "audit":
    sys.meta_path.insert(0, _Finder())
