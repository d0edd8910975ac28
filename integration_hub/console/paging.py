"""Pages of tables that grow without end: counted only as far as anybody would turn the pages."""

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet

COUNTED = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than one past `COUNTED` rows: that many means "more than 10,000".

    Never an estimate: one that says 0 makes Django's ChangeList load the whole table.
    """

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by().values("pk")[: COUNTED + 1].count()
