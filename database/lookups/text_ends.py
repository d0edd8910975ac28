"""The end of a UUID as the database writes it, for an index and the queries that use it."""

from typing import Any

from django.db.models import CharField, Func

UUID_END_DIGITS = 7


class UuidEnd(Func):
    """The last seven hexadecimal digits of a UUID column, without a parameter: SQLite uses an index on an expression
    only if the query has the same text.
    """

    arity = 1
    output_field = CharField()
    template = f"right(%(expressions)s::text, {UUID_END_DIGITS})"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return the SQL for SQLite, which stores a UUID as 32 digits."""
        return self.as_sql(
            compiler, connection, template=f"substr(%(expressions)s, -{UUID_END_DIGITS})", **context
        )
