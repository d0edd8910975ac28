"""The number of rows of a query, as a value of another query."""

from django.db.models import IntegerField, Subquery


class RowCount(Subquery):
    """The number of rows that a queryset returns: within its limit, if it has one."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()
