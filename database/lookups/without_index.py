"""A column that SQLite compares or sorts by without an index on it."""

from typing import Any

from django.db.models import Func


class WithoutIndex(Func):
    """The value of a column, which SQLite does not look up, or sort by, with an index.

    SQLite keeps no statistics: of two indexes that a statement could use it takes one by fixed rules. The column of the
    index that would read more rows is put into this. PostgreSQL has statistics and decides for itself.
    """

    arity = 1
    template = "%(expressions)s"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return the SQL for SQLite: an index on a column is not used for an expression of it."""
        return self.as_sql(compiler, connection, template="+%(expressions)s", **context)
