"""The tables of pages that code declares: of docs/audit-format.md the columns of an export, and the lists under its
digests; of docs/operations/metrics.md the metrics.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from exports.bundle.schema import TABLES, TableSchema
from exports.bundle.shipped.check_rows import CALL_COLUMNS, EVENT_FACTS, EVENT_SUBJECT
from sync.metrics.declared import (
    BUILD_INFO,
    DATABASE_METRICS,
    DATABASE_UP,
    PROCESS_METRICS,
    MetricDeclaration,
)

_MARKED = re.compile(r"(<!-- made by `make docs`: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_CELL_BORDER = re.compile(r"(?<!\\)\|")
# The name of a stream or of a person in a meaning.
_NAME = re.compile(r"(?<!`)\b\w+(?::<\w+>)+")


def rewrite_tables(text: str) -> str:
    """Return the page with each marked table as the code declares it. Raises KeyError for the name of no table.

    What no code declares, such as what a column is compared with, stays in its row.
    """
    return _MARKED.sub(lambda found: found[1] + _WRITERS[found[2]](found[0]) + found[3], text)


def _write_columns(table: TableSchema, text: str) -> str:
    meaning = table.meaning[0].lower() + table.meaning[1:]
    rows = (
        (
            f"`{column.name}`",
            column.type.partition(",")[0] + (" or null" if column.nullable else ""),
            "●" if column.mutable else "",
            _NAME.sub(r"`\g<0>`", column.meaning),
        )
        for column in table.columns
    )
    heads = ("column", "type", "marked", "meaning", "compared with")
    return f"**`{table.name}.jsonl`**: {meaning}\n\n{_write_table(heads, rows, text)}"


def _write_digests(text: str) -> str:
    rows = (
        ("`facts`", _describe_list("event", EVENT_FACTS)),
        ("`subject`", _describe_list("event", EVENT_SUBJECT)),
        ("`record`",),
        ("each of `calls`", _describe_list("call", CALL_COLUMNS)),
    )
    return _write_table(("digest", "its list", "in"), rows, text)


def _metrics_writer(metrics: Iterable[MetricDeclaration]) -> Callable[[str], str]:
    rows = [
        (f"`{metric.name}`", metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.meaning)
        for metric in metrics
    ]
    return lambda text: _write_table(("metric", "type", "labels", "meaning"), rows, text)


def _describe_list(first: str, columns: Sequence[str]) -> str:
    return f'`"{first}"`, then ' + ", ".join(f"`{column}`" for column in columns)


def _write_table(heads: Sequence[str], rows: Iterable[Sequence[str]], text: str) -> str:
    """Write a table. A row without its last cells keeps those that `text` has in the row with the same first cell."""
    kept = {cells[0]: cells for line in text.splitlines() if len(cells := _cells(line)) == len(heads)}
    none = [""] * len(heads)
    lines = [[*row, *kept.get(row[0], none)[len(row) :]] for row in rows]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in (heads, *lines)).split("\n", 1)
    return f"{drawn[0]}\n|{'---|' * len(heads)}\n{drawn[1]}\n"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _CELL_BORDER.split(line)[1:-1]]


def _columns_writer(table: TableSchema) -> Callable[[str], str]:
    return lambda text: _write_columns(table, text)


_WRITERS = {
    **{table.name: _columns_writer(table) for table in TABLES},
    "digests": _write_digests,
    "process_metrics": _metrics_writer(PROCESS_METRICS),
    "database_metrics": _metrics_writer((BUILD_INFO, DATABASE_UP, *DATABASE_METRICS)),
}
