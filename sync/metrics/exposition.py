"""The body of `/metrics`, and who may read it."""

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.conf import settings
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sync.metrics.declared import PROCESS_METRICS, MetricDeclaration
from sync.metrics.process_metrics import measured_process
from sync.metrics.series_files import read_families

Sample = tuple[tuple[str, ...], float]
Samples = Mapping[MetricDeclaration, Sequence[Sample]]


class Exposition(NamedTuple):
    """The body of a response and its content type."""

    body: bytes
    content_type: str


def may_read_metrics(authorization: str) -> bool:
    """Return True for METRICS_TOKEN as a bearer token, compared in constant time; never without a token."""
    scheme, _, token = authorization.partition(" ")
    expected = settings.METRICS_TOKEN.encode()
    given = token.strip().encode("utf-8", "surrogateescape")
    return hmac.compare_digest(given, expected) and scheme.lower() == "bearer" and bool(expected)


def expose(accept: str, samples: Samples | None = None) -> Exposition:
    """Return what the processes of this machine have measured and further samples, in the format that is accepted: the
    text format of Prometheus, or OpenMetrics.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(lambda: _declare_families(samples or {})))
    registry.register(_Families(_read_process_families))
    encode, content_type = choose_encoder(accept)
    return Exposition(encode(registry), content_type)


class _Families(Collector):
    """A collector for a registry."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def _declare_families(samples: Samples) -> Iterator[Metric]:
    for declared, values in samples.items():
        family = _new_family(declared)
        for labels, value in values:
            family.add_sample(declared.name, dict(zip(declared.labels, labels, strict=True)), value)
        yield family


def _read_process_families() -> Iterator[Metric]:
    process = measured_process()
    if process is None:
        return
    names = process.names

    def keeps(labels: Mapping[str, str]) -> bool:
        return names.connections.keeps(labels.get("connection")) and names.sources.keeps(labels.get("source"))

    read = {family.name: family for family in read_families(process.folder, keeps)}
    for declared in PROCESS_METRICS:
        if (measured := read.get(declared.family)) is not None:
            family = _new_family(declared)
            family.samples = measured.samples
            yield family


def _new_family(declared: MetricDeclaration) -> Metric:
    return Metric(declared.family, declared.meaning, declared.kind, declared.unit)
