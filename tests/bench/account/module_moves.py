"""The calls of one webhook from module to module of the product, over all threads."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.bench.machinery.processes import ROOT

# All packages of the product.
PACKAGES = (
    *("config_schema", "database", "audit", "webhooks", "logins", "connectors", "sync", "exports", "console"),
    "integration_hub",
)


class ModuleMoves:
    """Counts calls of functions of the product: all of them, and those that come from another module.

    A call through a library counts as a call of the module that called the library. Comprehensions and lambdas are left
    out.
    """

    def __init__(self) -> None:
        self._modules: dict[CodeType, str | None] = {}
        self._stacks = threading.local()
        self.calls = 0
        self.functions: set[CodeType] = set()
        self.by_pair: dict[tuple[str, str], int] = {}

    def summary(self) -> dict[str, Any]:
        """Return the counts, and the twenty most frequent moves, as JSON values."""
        pairs = sorted(self.by_pair.items(), key=lambda pair: -pair[1])
        across = sum(times for (one, other), times in pairs if one.split(".")[0] != other.split(".")[0])
        return {
            "calls": self.calls,
            "functions": len(self.functions),
            "modules": len({self._modules[code] for code in self.functions}),
            "moves": sum(self.by_pair.values()),
            "between_packages": across,
            "most": [[one, other, times] for (one, other), times in pairs[:20]],
        }

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """Count one call: a function for `sys.setprofile`."""
        if event not in ("call", "return"):
            return
        code = frame.f_code
        if code not in self._modules:
            self._modules[code] = self._module_of(code)
        module = self._modules[code]
        if module is None:
            return
        stack: list[str] = self._stacks.__dict__.setdefault("stack", [])
        if event == "return":
            # The first returns are of functions that were running when the count began.
            if stack:
                stack.pop()
            return
        self.calls += 1
        self.functions.add(code)
        if stack and stack[-1] != module:
            pair = (stack[-1], module)
            self.by_pair[pair] = self.by_pair.get(pair, 0) + 1
        stack.append(module)

    def _module_of(self, code: CodeType) -> str | None:
        """Return the dotted module of a function of the product; None for other code."""
        path = Path(code.co_filename)
        if code.co_name.startswith("<") or not path.is_relative_to(ROOT):
            return None
        parts = path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts) if parts[0] in PACKAGES else None


@contextmanager
def counted_moves() -> Iterator[ModuleMoves]:
    """Count in this thread and in those of the executor of deliveries."""
    from sync.execution.executor import BoundedExecutor

    moves = ModuleMoves()
    run_in_slot = BoundedExecutor._run_in_slot

    def run_counted(executor: BoundedExecutor, run: Any) -> None:
        sys.setprofile(moves.profile)
        try:
            run_in_slot(executor, run)
        finally:
            sys.setprofile(None)

    setattr(BoundedExecutor, "_run_in_slot", run_counted)  # noqa: B010 - a method cannot be assigned
    sys.setprofile(moves.profile)
    try:
        yield moves
    finally:
        sys.setprofile(None)
        setattr(BoundedExecutor, "_run_in_slot", run_in_slot)  # noqa: B010
