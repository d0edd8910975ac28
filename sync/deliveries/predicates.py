"""Conditions on deliveries that several statements ask, as SQL.

A function takes the `alias` of `sync_delivery` in the statement, empty where its columns stand without one. Numbers are
literals: a partial index serves only a statement that holds its condition.
"""

SUSPECT = 2  # deaths after which a delivery runs in a process of its own


def is_suspect(alias: str = "") -> str:
    """Processes died while they ran it: it runs only in a process of its own."""
    return f"{_column(alias, 'deaths')} >= {SUSPECT}"


def is_not_suspect(alias: str = "") -> str:
    """Any process may run it."""
    return f"{_column(alias, 'deaths')} < {SUSPECT}"


def _column(alias: str, name: str) -> str:
    return f"{alias}.{name}" if alias else name
