"""The bytecode of the test modules, which the workers of a run compile together.

Before the first test, most CPU goes into pytest's rewriting of assertions, once for each module that has no bytecode yet.
Workers that import the modules in the same order would all rewrite the same module at the same time.
"""

import importlib
from collections.abc import Iterator
from contextlib import suppress

import pytest


def import_test_modules(config: pytest.Config) -> None:
    """In a worker, import the modules that will be collected. Each worker begins at another one and finds the rest compiled."""
    workers = getattr(config, "workerinput", None)
    if workers is None:
        return
    modules = sorted(set(_test_modules(config)))
    first = len(modules) * int(workers["workerid"].removeprefix("gw")) // workers["workercount"]
    for module in modules[first:] + modules[:first]:
        # The collection imports it again and reports why it cannot be imported.
        with suppress(Exception, pytest.skip.Exception):
            importlib.import_module(module)


def _test_modules(config: pytest.Config) -> Iterator[str]:
    ignored = [config.invocation_params.dir / path for path in config.getoption("ignore") or ()]
    for argument in config.args:
        path = config.invocation_params.dir / argument.partition("::")[0]
        for file in path.rglob("test_*.py") if path.is_dir() else [path]:
            if not any(file.is_relative_to(folder) for folder in ignored):
                yield ".".join(file.relative_to(config.rootpath).with_suffix("").parts)
