"""Evaluate the alert rules of `deploy/prometheus` over two scrapes: the forms of PromQL that they use, and no others.

Two scrapes stand for the beginning and the end of each window. promtool judges the same samples in
`tests/project/test_alert_rules.py` where it is found.
"""

import operator
import re
from collections import defaultdict
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import yaml

from tests.support.metrics import Series

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
_SELECTOR = r"(?P<name>[a-z_]+)(?:\{(?P<matchers>[^}]*)\})?"
_MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
_INNER = re.compile(rf"(?:(?P<rate>rate)\()?{_SELECTOR}(?:\[(?P<window>\d+)m\]\))?")
_AGGREGATE = re.compile(r"(?P<how>sum|max|min)(?: by \((?P<by>[^)]*)\) ?)?\((?P<inner>.+)\)")
_QUANTILE = re.compile(r"histogram_quantile\((?P<share>[\d.]+), (?P<of>.+)\)")
_COMPARED = re.compile(r"(?P<left>.+) (?P<how>>|==|<) (?P<limit>[\d.]+)")
_OPERATORS = {">": operator.gt, "==": operator.eq, "<": operator.lt}
_AGGREGATES: Any = {"sum": sum, "max": max, "min": min}
Vector = dict[tuple[tuple[str, str], ...], float]


@dataclass(frozen=True)
class Scrapes:
    """The samples at the beginning and at the end of every window."""

    before: Series
    after: Series


def read_rules() -> list[dict[str, Any]]:
    """Return the alert rules of the file."""
    document = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def firing(scrapes: Scrapes) -> set[str]:
    """Return the names of the rules whose expression has a result."""
    return {rule["alert"] for rule in read_rules() if evaluate(rule["expr"], scrapes)}


def evaluate(expression: str, scrapes: Scrapes) -> Vector:
    """Return the result of an expression. Fails for a form that no rule uses yet."""
    if absent := re.fullmatch(rf"absent\({_SELECTOR}\)", expression):
        return {} if _select(absent, scrapes.after) else {(): 1.0}
    compared = _COMPARED.fullmatch(expression)
    assert compared, expression
    passes, limit = _OPERATORS[compared["how"]], float(compared["limit"])
    return {
        labels: value for labels, value in _term(compared["left"], scrapes).items() if passes(value, limit)
    }


def _term(term: str, scrapes: Scrapes) -> Vector:
    if " / " in term:
        above, below = (_term(part, scrapes) for part in term.split(" / "))
        return {labels: value / below[labels] for labels, value in above.items() if below.get(labels)}
    if quantile := _QUANTILE.fullmatch(term):
        return _quantiles(float(quantile["share"]), _term(quantile["of"], scrapes))
    aggregate = _AGGREGATE.fullmatch(term)
    assert aggregate, term
    by = set(re.findall(r"\w+", aggregate["by"] or ""))
    groups: dict[tuple[tuple[str, str], ...], list[float]] = defaultdict(list)
    for labels, value in _inner(aggregate["inner"], scrapes).items():
        groups[tuple(sorted(pair for pair in labels if pair[0] in by))].append(value)
    return {labels: _AGGREGATES[aggregate["how"]](values) for labels, values in groups.items()}


def _inner(text: str, scrapes: Scrapes) -> Vector:
    inner = _INNER.fullmatch(text)
    assert inner, text
    assert bool(inner["rate"]) == bool(inner["window"]), text
    after = _select(inner, scrapes.after)
    if not inner["rate"]:
        return after
    # As in Prometheus, a series that begins within the window has no increase.
    before, seconds = _select(inner, scrapes.before), int(inner["window"]) * 60
    return {labels: (value - before[labels]) / seconds for labels, value in after.items() if labels in before}


def _select(selector: re.Match[str], series: Series) -> Vector:
    matchers = _MATCHER.findall(selector["matchers"] or "")
    selected: Vector = {}
    for (name, labels), value in series.items():
        found = dict(labels)
        fits = (
            re.fullmatch(text, found.get(label, "")) if how == "=~" else found.get(label, "") == text
            for label, how, text in matchers
        )
        if name == selector["name"] and all(fits):
            selected[tuple(sorted(labels))] = value
    return selected


def _quantiles(share: float, buckets: Vector) -> Vector:
    groups: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = defaultdict(list)
    for labels, value in buckets.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        groups[rest].append((float(dict(labels)["le"]), value))
    return {labels: _quantile(share, sorted(bounds)) for labels, bounds in groups.items() if max(bounds)[1]}


def _quantile(share: float, bounds: list[tuple[float, float]]) -> float:
    """Interpolate as Prometheus does; the highest finite bound if the rank is beyond it."""
    rank, low, below = share * bounds[-1][1], 0.0, 0.0
    for bound, value in bounds:
        if value >= rank:
            return low if bound == inf else low + (bound - low) * (rank - below) / (value - below)
        low, below = bound, value
    return low


def promtool_test(scrapes: Scrapes, expected: set[str]) -> dict[str, Any]:
    """Return a file for `promtool test rules`: it passes if exactly the expected alerts fire over these scrapes."""
    keys = sorted(scrapes.before | scrapes.after, key=str)
    return {
        "rule_files": [str(FOLDER / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [_promtool_series(key, scrapes) for key in keys],
                "promql_expr_test": [
                    {
                        "expr": f'group by (alertname) (ALERTS{{alertstate="firing", alertname="{rule["alert"]}"}})',
                        "eval_time": _firing_time(rule["for"]),
                        "exp_samples": [{"labels": f'{{alertname="{rule["alert"]}"}}', "value": 1}]
                        if rule["alert"] in expected
                        else [],
                    }
                    for rule in read_rules()
                ],
            }
        ],
    }


def _firing_time(text: str) -> str:
    return f"{int(text[:-1]) * {'m': 1, 'h': 60, 'd': 1440}[text[-1]] + 2}m"


def _promtool_series(key: Any, scrapes: Scrapes) -> dict[str, str]:
    name, labels = key
    text = ", ".join(f'{label}="{value}"' for label, value in sorted(labels))
    first, last = (_number(series.get(key)) for series in (scrapes.before, scrapes.after))
    return {"series": f"{name}{{{text}}}", "values": f"{first} {last}x1500"}


def _number(value: float | None) -> str:
    # `_` is a sample that is missing; the notation of promtool has no infinity.
    return "_" if value is None else "1e12" if value == inf else repr(value)
