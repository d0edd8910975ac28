"""Query parameters: each has one value, or several and is repeated. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote, urlencode

QueryValue = str | tuple[str, ...]
Query = Mapping[str, QueryValue]


def list_values(query: Query) -> Iterator[str]:
    """Yield the values of all parameters."""
    for value in query.values():
        yield from (value,) if isinstance(value, str) else value


def change_values(
    query: Query, change: Callable[[str], str], change_name: Callable[[str], str] | None = None
) -> dict[str, QueryValue]:
    """Return a query with each value, and each name, changed."""
    return {
        change_name(name) if change_name else name: (
            change(value) if isinstance(value, str) else tuple(change(one) for one in value)
        )
        for name, value in query.items()
    }


def group_pairs(pairs: Iterable[tuple[str, str]]) -> dict[str, QueryValue]:
    """Return names and values as a query. The values of a repeated parameter are one tuple."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: one[0] if len(one) == 1 else tuple(one) for name, one in values.items()}


def encode_query(query: Query) -> str:
    """Return a query with all reserved characters escaped. Raises UnicodeEncodeError."""
    return urlencode(query, doseq=True, quote_via=quote, safe="")
