"""Run by every Python process that has this folder on its PYTHONPATH: with BENCH_WITHOUT=<part> the hub does without that
part, so that what the part costs or saves can be measured. The parts are those of `PARTS`.

A sitecustomize of the machine itself is hidden by this one; the benchmark needs none.
"""

import os
import sys
from collections.abc import Callable, Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace
from typing import Any

Patch = Callable[[Any], None]


def _append_nothing(append: Any) -> None:
    results: dict[str, Any] = {"append_entries": None, "prepare_append": append.PreparedAppend((), {})}
    for name, result in results.items():
        _replace(append, name, lambda *_, result=result, **__: result)


def _store_each_webhook_alone(store: Any) -> None:
    _replace(
        store, "_group_commit", SimpleNamespace(submit=lambda webhook, _: store._store_together([webhook]))
    )


def _commit_each_batch_alone(write_batch: Any) -> None:
    def submit(batch: Any) -> None:
        if failure := batch.write_alone():
            raise failure

    _replace(write_batch, "_group_commit", SimpleNamespace(submit=submit))


def _claim_after_storing(creation: Any) -> None:
    _replace(creation, "_claim_if_free", lambda *_, **__: None)


def _read_settings_for_each_webhook(cached_read: Any) -> None:
    _replace(cached_read.CachedRead, "__call__", lambda self, *key: self._read(*key))


def _settle_without_the_answer(waiters: Any) -> None:
    _replace(waiters.OutcomeWaiter, "claim_answer", lambda *_: None)


def _read_stream_heads_again(delivery_service: Any) -> None:
    _replace(delivery_service.EventSession, "record_commit", lambda *_: None)


def _use_the_http_libraries(message_heads: Any) -> None:
    _replace(message_heads, "can_send_unchanged", lambda *_: False)
    _replace(message_heads, "parse_response_head", lambda _: None)


def _store_payloads_plain(compression: Any) -> None:
    _replace(compression, "compress", lambda _: None)


def _run_on_every_core(process_tuning: Any) -> None:
    _replace(process_tuning, "pin_to_one_core", lambda: None)


# The module that a part is in, and what is changed in it once it is loaded.
PARTS: Mapping[str, tuple[str, Patch]] = {
    "audit": ("audit.entries.append", _append_nothing),
    "group-commit": ("webhooks.receiving.store", _store_each_webhook_alone),
    "shared-commits": ("database.write_batch", _commit_each_batch_alone),
    "claim-with-event": ("sync.deliveries.creation", _claim_after_storing),
    "settings-cache": ("database.cached_read", _read_settings_for_each_webhook),
    "answer-with-settlement": ("sync.attempts.waiters", _settle_without_the_answer),
    "stream-heads": ("sync.delivery_service", _read_stream_heads_again),
    "plain-heads": ("connectors.http.message_heads", _use_the_http_libraries),
    "compression": ("database.encryption.compression", _store_payloads_plain),
    "one-core": ("sync.worker.process_tuning", _run_on_every_core),
}


def _replace(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, value)


class _PatchingLoader(Loader):
    """Loads a module and patches it before anything imports from it."""

    def __init__(self, real: Any, patch: Patch) -> None:
        self._real, self._patch = real, patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._real.exec_module(module)
        self._patch(module)


class _Finder(MetaPathFinder):
    def __init__(self, module: str, patch: Patch) -> None:
        self._module, self._patch = module, patch

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != self._module:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _PatchingLoader(spec.loader, self._patch)
        return spec


if part := os.environ.get("BENCH_WITHOUT"):
    sys.meta_path.insert(0, _Finder(*PARTS[part]))
