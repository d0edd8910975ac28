"""Compares the names and slugs of sources and connections, which exports and pages show, with the entries about their
settings.
"""

from collections.abc import Iterator, Sequence

from django.db.models import Model

from audit.entries.readable_rows import iterate_entries, parse_details
from audit.models import Entry
from exports.bundle.shipped.check_rows import RowFault, compare_columns
from exports.bundle.unreadable_rows import read_values
from sync.models import Connection
from webhooks.models import Source

_COLUMNS = ("slug", "name")
# Table of the fault, the kind of setting in streams and actions, and its model.
_KINDS: Sequence[tuple[str, str, type[Model]]] = (
    ("sources", "source", Source),
    ("connections", "connection", Connection),
)


def find_renamed_settings() -> list[RowFault]:
    """Return a fault for each slug or name that is not the one that its newest entry about it says.

    A row without such an entry is left out: it was made by a command, or its entries were deleted for their age. Run
    it in a snapshot.
    """
    faults: list[RowFault] = []
    for table, kind, model in _KINDS:
        keys = list(model._default_manager.order_by("pk").values_list("pk", flat=True))
        recorded = _recorded_names(kind, keys)
        rows, unreadable = read_values(model._default_manager.all(), keys, ("pk", *_COLUMNS), table)
        faults += unreadable
        for key, *values in rows:
            names = dict(zip(_COLUMNS, values, strict=True))
            faults += compare_columns(table, key, names, recorded.get(f"setting:{kind}:{key}", {}))
    return faults


def _recorded_names(kind: str, keys: Sequence[int]) -> dict[str, dict[str, object]]:
    """Return the newest slug and name that the entries about each setting of this kind say, by stream."""
    recorded: dict[str, dict[str, object]] = {}
    for entry in _entries(kind, keys):
        after = parse_details(entry.details).get("after")
        if isinstance(after, dict):
            names = {column: after[column] for column in _COLUMNS if column in after}
            recorded.setdefault(entry.stream, {}).update(names)
    return recorded


def _entries(kind: str, keys: Sequence[int]) -> Iterator[Entry]:
    # By the index of streams: an index of actions does not exist.
    streams = [f"setting:{kind}:{key}" for key in keys]
    entries = Entry.objects.filter(stream__in=streams, action__in=[f"{kind}.created", f"{kind}.changed"])
    return iterate_entries(entries.order_by("stream_seq", "pk"), 500)
