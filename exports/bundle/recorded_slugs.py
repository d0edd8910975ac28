"""Slugs of sources and connections in the rows of a whole export: as its entries say them.

So the slugs are those at the checkpoint, whichever snapshot a row comes from, and the row checker can compare each of
them. A source or connection whose slug no entry of the export says keeps that of the row: a command made it, or the
entry is older than the export.
"""

from collections.abc import Iterator, Mapping

from django.db.models import Model

from audit.entries.readable_rows import iterate_entries, parse_details
from audit.export.line_formats import Row
from audit.models import Entry
from audit.sealing.segment_index import SegmentIndex
from exports.bundle.export_rows import RowsByTable
from exports.bundle.schema import TABLES
from exports.bundle.shipped.check_rows import SLUG_COLUMNS, recorded_slug
from sync.models import Connection
from webhooks.models import Source

_MODELS: Mapping[str, type[Model]] = {"source": Source, "connection": Connection}
# By table: the stream of the setting without its key, the place of the slug, and the place of the key.
_PLACES = {
    table.name: [
        (f"setting:{kind}:", table.column_names.index(column), table.column_names.index(key))
        for column, kind, key in SLUG_COLUMNS.get(table.name, ())
    ]
    for table in TABLES
}


def read_recorded_slugs(first: int, last: int) -> dict[str, str]:
    """Return the slugs that entries in the segments `first` to `last` say, by the stream of their setting."""
    places, slugs = SegmentIndex(last), dict[str, str]()
    for kind, model in _MODELS.items():
        for key in model._default_manager.order_by("pk").values_list("pk", flat=True):
            for pk, slug in _stored_slugs(f"setting:{kind}:{key}", kind):
                if (places.segment_of(pk) or 0) >= first:
                    slugs[f"setting:{kind}:{key}"] = slug
                    break
    return slugs


def _stored_slugs(stream: str, kind: str) -> Iterator[tuple[int, str]]:
    """Yield the key and the slug of each entry of a stream that says one, the newest first."""
    entries = Entry.objects.filter(stream=stream, action__in=[f"{kind}.created", f"{kind}.changed"])
    for entry in iterate_entries(entries.order_by("-stream_seq"), 100):
        slug = recorded_slug(entry.action, entry.stream, parse_details(entry.details))
        if slug is not None:
            yield entry.pk, slug


def with_slugs(tables: RowsByTable, slugs: Mapping[str, str]) -> RowsByTable:
    """Return the rows of an export with the recorded slugs in place of those that were read."""
    return {name: [_with_slugs(name, row, slugs) for row in rows] for name, rows in tables.items()}


def _with_slugs(table: str, row: Row, slugs: Mapping[str, str]) -> Row:
    values = list(row)
    for stream, column, key in _PLACES[table]:
        values[column] = slugs.get(f"{stream}{row[key]}", values[column])
    return values
