"""Write the readable table as `events.xlsx`, row by row into the ZIP archive that such a file is.

Every cell is text (`t="inlineStr"`), which no spreadsheet takes for a formula, a number or a date. ECMA-376, part
1: 18.3.1 for sheets, 22.9.2.19 for characters that XML cannot hold.
"""

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from xml.sax.saxutils import escape

# A sheet has one row more, for the names of the columns.
MAX_ROWS = 1_048_575
_ROWS_PER_WRITE = 500
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_SHEET = "xl/worksheets/sheet1.xml"
# An underscore is included where a text already looks like an escape (`_x0041_`), which would otherwise be decoded.
_INVALID_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_NEEDS_NO_ESCAPING = re.compile(r"[^\s\x00-\x1f\x7f&<>_\ufffe\uffff]*")
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    f'<Override PartName="/{_SHEET}" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
    '<sheets><sheet name="events" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}
_BEGIN = (
    f'<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
    '<cols><col min="1" max="13" width="26" customWidth="1"/></cols><sheetData>'
)
_END = "</sheetData></worksheet>"


class TooManyRows(Exception):
    """Raised for more rows than a sheet can hold. The text is for people."""


def check_row_count(count: int) -> None:
    """Raise TooManyRows if a sheet cannot hold this many rows."""
    if count > MAX_ROWS:
        raise TooManyRows(
            f"An Excel sheet can contain {MAX_ROWS:,} events, but {count:,} were selected. Choose CSV instead."
        )


def write_xlsx(names: Sequence[str], rows: Iterable[Sequence[str | None]], path: Path) -> Iterator[int]:
    """Write the rows under their column names, and yield the number written so far. Raises TooManyRows."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, text in _PARTS.items():
            packed.writestr(_zip_entry(name), f"{_HEAD}{text}", compresslevel=1)
        # The size is not known in advance, so room for ZIP64 sizes is always reserved.
        with packed.open(_zip_entry(_SHEET), "w", force_zip64=True) as sheet:
            templates = _row_templates(len(names))
            lines = [f"{_HEAD}{_BEGIN}{_format_row(1, names, *templates)}"]
            number = 0
            for number, row in enumerate(rows, start=1):
                check_row_count(number)
                lines.append(_format_row(number + 1, row, *templates))
                if len(lines) >= _ROWS_PER_WRITE:
                    sheet.write("".join(lines).encode())
                    lines = []
                    yield number
            sheet.write("".join([*lines, _END]).encode())
            yield number


def _zip_entry(name: str) -> zipfile.ZipInfo:
    """Return a ZIP entry with a fixed time, so that the same rows make the same file."""
    entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _format_row(number: int, cells: Sequence[str | None], plain: str, spaced: str) -> str:
    """Return a row as XML. Most rows need no escaping, which one match over all their text finds out."""
    texts = [cell or "" for cell in cells]
    if _NEEDS_NO_ESCAPING.fullmatch("".join(texts)):
        return plain.format(*texts, n=number)
    return spaced.format(*map(_escape_cell, texts), n=number)


def _row_templates(columns: int) -> tuple[str, str]:
    """Return two templates of a row: one for plain texts, one for texts whose spaces must be kept."""
    plain = "".join(
        f'<c r="{letter}{{n}}" t="inlineStr"><is><t>{{{place}}}</t></is></c>'
        for place, letter in enumerate(ascii_uppercase[:columns])
    )
    row = f'<row r="{{n}}">{plain}</row>'
    return row, row.replace("<t>", '<t xml:space="preserve">')


def _escape_cell(cell: str) -> str:
    return escape(_INVALID_CHARACTERS.sub(lambda match: f"_x{ord(match[0]):04X}_", cell))
