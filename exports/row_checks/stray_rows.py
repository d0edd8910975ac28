"""Finds rows about events that no page of the check reads, and rows that are there twice.

The hub writes none. But foreign keys on the path of a webhook have no constraint in the database, and whoever can
change its schema can drop a unique index.
"""

from collections.abc import Iterator, Sequence

from django.db.models import Count, Exists, Min, Model, OuterRef, Q

from exports.bundle.shipped.check_rows import RowFault
from sync.models import Attempt, Call, Delivery
from webhooks.models import Event, Receipt

MAX_ROWS = 100  # named of each table
# Table, its model, and the foreign key to the parent and the parent's model.
_PARENTS: Sequence[tuple[str, type[Model], str, type[Model]]] = (
    ("receipts", Receipt, "event", Event),
    ("deliveries", Delivery, "event", Event),
    ("attempts", Attempt, "delivery", Delivery),
    ("calls", Call, "attempt", Attempt),
)
# Table, its model, and the columns that identify a row of it in entries and exports.
_IDENTIFYING: Sequence[tuple[str, type[Model], tuple[str, ...]]] = (
    ("events", Event, ("uuid",)),
    ("receipts", Receipt, ("uuid",)),
    ("deliveries", Delivery, ("event", "route")),
    ("attempts", Attempt, ("key",)),
)


def find_stray_rows() -> Iterator[RowFault]:
    """Yield a fault for each row whose parent does not exist, and for rows that have the same identifier.

    Each table is read by one statement, so that it is seen at one moment. Rows are named by their keys, because other
    columns may have values that cannot be read.
    """
    for table, model, parent, parent_model in _PARENTS:
        parents = parent_model._default_manager.filter(pk=OuterRef(parent))
        rows = model._default_manager.filter(~Exists(parents), ~Q(**{parent: None})).order_by("pk")
        for key in rows.values_list("pk", flat=True)[:MAX_ROWS]:
            fault = "refers to a row that does not exist"
            yield RowFault("parent-missing", table, f"with id {key}", f"{parent}_id", fault)
    for table, model, columns in _IDENTIFYING:
        groups = (
            model._default_manager.order_by().values(*columns).annotate(first=Min("pk"), times=Count("pk"))
        )
        repeated = groups.filter(times__gt=1).values_list("first", "times").order_by("first")
        for key, times in repeated[:MAX_ROWS]:
            yield RowFault(
                "row-duplicate", table, f"with id {key}", " and ".join(columns), f"appears {times} times"
            )
