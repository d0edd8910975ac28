"""The single statement of a write batch on PostgreSQL (`database.write_batch`), split into its parts."""

import re

_BEGINS = re.compile(r"(?:WITH|,) (?:g|w|k|u)\d+ AS \(")
_ENDS = re.compile(r" RETURNING \S+(?: AS k)?\)$|\)$")
_RETURNED = re.compile(r"\) SELECT (?:1|CAST\().*$", re.DOTALL)
_KEYS = "SELECT array_agg(k ORDER BY k)"


def split_statement(statement: str) -> list[str]:
    """Return the writes and guards of a batch as separate statements; the statement itself if it is no batch."""
    if _BEGINS.match(statement) is None:
        return [statement]
    parts = _BEGINS.split(_RETURNED.sub(")", statement))[1:]
    return [_ENDS.sub("", part) for part in parts if not part.startswith(_KEYS)]
