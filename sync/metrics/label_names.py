"""The connections and sources that get a label of their own: the 100 busiest of this hour and the one before."""

from datetime import timedelta

from database.clock import read_clock
from database.statement import Statement
from sync.metrics.declared import OTHER

MAX_NAMES = 100
_BUSIEST_CONNECTIONS, _BUSIEST_SOURCES = (
    Statement(
        f"""SELECT named.slug FROM {table} named LEFT JOIN
        (SELECT {column} AS named_id, SUM(number) AS number FROM {counts} WHERE hour >= %s GROUP BY {column}) counted
        ON counted.named_id = named.id ORDER BY COALESCE(counted.number, 0) DESC, named.id LIMIT {MAX_NAMES}"""  # noqa: S608
    )
    for table, column, counts in (
        ("sync_connection", "connection_id", "sync_callcount"),
        ("webhooks_source", "source_id", "sync_eventcount"),
    )
)


class BoundedNames:
    """At most `MAX_NAMES` names. Others share the label `other`."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self.is_read = False

    def replace(self, names: set[str]) -> None:
        """Replace the names."""
        self._names, self.is_read = names, True

    def find_label(self, name: str, *, is_configured: bool = True) -> str:
        """Return the label for a name. A name that `is_configured` and new takes a free place at once."""
        names = self._names
        if name in names:
            return name
        if is_configured and len(names) < MAX_NAMES:
            names.add(name)
            return name
        return OTHER

    def keeps(self, label: str | None) -> bool:
        """Return True for a label that samples may have now, and for none."""
        return label is None or label == OTHER or not self.is_read or label in self._names


class LabelNames:
    """The names of connections and sources in the labels of this process."""

    def __init__(self) -> None:
        self.connections, self.sources = BoundedNames(), BoundedNames()

    def refresh(self) -> None:
        """Read the busiest ones: three statements."""
        # Counts bear the start of their hour.
        since = read_clock() - timedelta(hours=2)
        self.connections.replace({slug for (slug,) in _BUSIEST_CONNECTIONS.fetch_all(since)})
        self.sources.replace({slug for (slug,) in _BUSIEST_SOURCES.fetch_all(since)})
