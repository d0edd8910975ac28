"""Rows as JSON Lines or CSV, one line at a time. Pure, and independent of the content of the rows.

JSON Lines is the format of evidence: every value unchanged. CSV is for people: RFC 4180, every cell quoted, and an
apostrophe before a text that a spreadsheet could take for a formula
(https://owasp.org/www-community/attacks/CSV_Injection).
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from audit.format.canonical_json import JSONValue

Row = Sequence[JSONValue]
Writer = Callable[[Sequence[str], Iterable[Row]], Iterator[str]]

# A sign that begins a formula, full-width and small ones too, also behind quotes, separators, blanks and
# control characters.
_FORMULA = re.compile(
    r"""[\s"'`´‘’“”,;|\x00-\x1f\x7f\u00ad\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠﹦﹢﹣﹫−]|[\t\r\n]"""
)


# The last column of each file with data: who exported it, as `person:<id>`, or `system` for a command.
REQUESTER_COLUMN = "exported_by"


@dataclass(frozen=True, slots=True)
class LineFormat:
    """A format of row exports. `extension` is also the value by which users ask for it."""

    extension: str
    content_type: str
    write_lines: Writer


def with_requester(rows: Iterable[Row], requester: str) -> Iterator[Row]:
    """Yield the rows with the requester as the last cell, for REQUESTER_COLUMN."""
    return ([*row, requester] for row in rows)


def json_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield one JSON object a row, ended by a line feed (https://jsonlines.org)."""
    for row in rows:
        document = dict(zip(columns, row, strict=True))
        yield json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


def csv_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield the column names, then one record a row, each ended by CR LF. Lists and objects are written as JSON."""
    yield _csv_record(columns)
    for row in rows:
        yield _csv_record(row)


def _csv_record(cells: Row) -> str:
    return ",".join(f'"{_csv_cell(cell)}"' for cell in cells) + "\r\n"


def _csv_cell(value: JSONValue) -> str:
    return neutralize_formula(_cell_text(value)).replace('"', '""')


def _cell_text(value: JSONValue) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def neutralize_formula(text: str) -> str:
    """Return the text, with an apostrophe in front if a spreadsheet could take it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


FORMATS: Mapping[str, LineFormat] = {
    "jsonl": LineFormat("jsonl", "application/jsonl; charset=utf-8", json_lines),
    "csv": LineFormat("csv", "text/csv; charset=utf-8", csv_lines),
}
