"""The database's clock, the only one that leases and due times are measured by."""

from datetime import timedelta
from typing import Any

from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.functions import Now


def database_now() -> Now:
    """The moment at which the statement runs, as the database sees it."""
    return Now()


def database_now_plus(seconds: float) -> Any:
    """That moment, `seconds` later."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())
